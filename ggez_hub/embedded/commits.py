"""The commits of a repository: their files, their ancestry, and making one."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from dulwich.errors import NotTreeError
from dulwich.lru_cache import LRUCache, LRUSizeCache
from dulwich.object_store import iter_tree_contents, tree_lookup_path
from dulwich.objects import Commit, ObjectID, SubmoduleEncountered

from ggez_hub.embedded.errors import EntryNotFoundError
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.objects import Objects, decode, encode

_UNSAFE: Final = re.compile(r"[<>\x00-\x1f\x7f]+")
_IDENTITY: Final = re.compile(r"(?P<name>.*?) ?<[^<>]*>")

# Size and pointer of a file by its object id, which never changes, in whichever repo it is.
_facts: Final[LRUCache[str, tuple[int, Pointer | None]]] = LRUCache(max_cache=100_000)
# The entries below a folder by its object id: each page of a listing is a request of its own.
_listings: Final[LRUSizeCache[tuple[str, str, bool], Sequence[Entry]]] = LRUSizeCache(
    max_size=100_000, compute_size=len
)
_facts_lock: Final = threading.Lock()


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of a commit. `size` is that of the real file where git holds a pointer."""

    path: str
    oid: str
    is_folder: bool
    size: int = 0
    lfs: Pointer | None = None


class Snapshot:
    """The files of the commit `commit`."""

    def __init__(self, objects: Objects, commit: str) -> None:
        self._objects = objects
        self.commit = commit
        self.tree = objects.commit(commit).tree.decode()

    def find(self, path: str) -> Entry | None:
        """The file or folder at `path`, or None."""
        found = locate(self._objects, self.tree, path)
        return self._entry(path, *found) if found else None

    def file(self, path: str) -> Entry:
        """The file at `path`; raises EntryNotFoundError."""
        entry = self.find(path)
        if entry is None or entry.is_folder:
            raise EntryNotFoundError(f"Entry not found: {path[:200]}")
        return entry

    def read(self, entry: Entry) -> bytes:
        """What git holds for a file: its content, or the pointer to it."""
        return self._objects.blob(entry.oid)

    def text(self, path: str) -> bytes | None:
        """The content of a file that git itself holds, or None."""
        entry = self.find(path)
        if entry is None or entry.is_folder or entry.lfs is not None:
            return None
        return self.read(entry)

    def listing(self, path: str = "", *, recursive: bool) -> Sequence[Entry]:
        """The entries below a folder, by name; with `recursive`, folders before their content.

        Raises EntryNotFoundError.
        """
        folder = self.find(path)
        if folder is None or not folder.is_folder:
            raise EntryNotFoundError(f"{path[:200]!r} is not a folder of this revision")
        key = (path, folder.oid, recursive)
        with _facts_lock:
            known = _listings.get(key)
        if known is None:
            known = self._read(path, folder.oid, recursive=recursive)
            with _facts_lock:
                _listings[key] = known
        return known

    def _read(self, path: str, oid: str, *, recursive: bool) -> Sequence[Entry]:
        prefix = f"{path}/" if path else ""
        tree = ObjectID(oid.encode())
        if recursive:
            items = iter_tree_contents(self._objects.store, tree, include_trees=True)
        else:
            items = self._objects.tree(oid).iteritems(name_order=True)
        return [
            self._entry(prefix + decode(item.path), item.mode, item.sha.decode())
            for item in items
            if item.path
        ]

    def files(self) -> list[str]:
        """The paths of all files."""
        items = iter_tree_contents(self._objects.store, ObjectID(self.tree.encode()))
        return [decode(item.path) for item in items]

    def _entry(self, path: str, mode: int, oid: str) -> Entry:
        if stat.S_ISDIR(mode):
            return Entry(path, oid, is_folder=True)
        with _facts_lock:
            known = _facts.get(oid)
        if known is None:
            data = self._objects.blob(oid)
            pointer = Pointer.parse(data)
            known = (pointer.size if pointer else len(data), pointer)
            with _facts_lock:
                _facts[oid] = known
        return Entry(path, oid, False, *known)


def locate(objects: Objects, tree: str, path: str) -> tuple[int, str] | None:
    """Mode and object id of `path` in a tree, or None."""
    root = ObjectID(tree.encode())
    try:
        mode, oid = tree_lookup_path(objects.store.__getitem__, root, encode(path))
    except (KeyError, NotTreeError, SubmoduleEncountered, UnicodeEncodeError):
        return None
    return mode, oid.decode()


@dataclass(frozen=True, slots=True)
class Signature:
    """Who commits, and when: seconds since 1970, always in UTC."""

    name: str
    email: str
    date: int

    @property
    def identity(self) -> bytes:
        """`Name <email>`, without the characters that would break a commit object."""
        name = _UNSAFE.sub(" ", self.name).strip() or "unknown"
        email = _UNSAFE.sub("", self.email).strip()
        return f"{name} <{email}>".encode()


def make_commit(tree: str, parents: Iterable[str], signature: Signature, message: str) -> Commit:
    """A commit that depends on nothing but the arguments: no clock, no time zone, no encoding."""
    commit = Commit()
    commit.tree = ObjectID(tree.encode())
    commit.parents = [ObjectID(parent.encode()) for parent in parents]
    commit.author = commit.committer = signature.identity
    commit.author_time = commit.commit_time = signature.date
    commit.author_timezone = commit.commit_timezone = 0
    commit.message = (message.replace("\x00", "").rstrip("\n") + "\n").encode(errors="replace")
    return commit


def title_and_message(commit: Commit) -> tuple[str, str]:
    """The first line of a commit's message, and the rest of it."""
    title, _, rest = commit.message.decode(errors="replace").strip("\n").partition("\n")
    return title, rest.strip("\n")


def author_name(commit: Commit) -> str:
    """The author of a commit, without the address."""
    identity = _IDENTITY.match(commit.author.decode(errors="replace"))
    return identity["name"] if identity else "unknown"
