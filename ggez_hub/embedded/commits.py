"""Reading the files of one commit."""

from __future__ import annotations

import re
import stat
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from dulwich.lru_cache import LRUCache
from dulwich.objects import Commit, ObjectID, Tree

from ggez_hub.embedded.changes import decode
from ggez_hub.embedded.errors import EntryNotFoundError
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.objects import Objects


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder of a commit. `size` is that of the real file where git holds a pointer."""

    path: str
    oid: str
    is_folder: bool
    size: int = 0
    lfs: Pointer | None = None
    pointer_size: int = 0


@dataclass(frozen=True, slots=True)
class _BlobFacts:
    size: int
    pointer: Pointer | None


# By object id: what an id stands for never changes, in whichever repo it is.
_facts_by_oid: Final[LRUCache[str, _BlobFacts]] = LRUCache(max_cache=100_000)
_facts_lock: Final = threading.Lock()


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
        """The file at `path`.

        Raises:
            EntryNotFoundError: there is no file of that name.
        """
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

    def listing(self, path: str = "", *, recursive: bool) -> Iterator[Entry]:
        """The entries below a folder, sorted as git does; with `recursive`, folders before their content.

        Raises:
            EntryNotFoundError: there is no folder of that name.
        """
        oid = self.tree
        if path:
            found = locate(self._objects, self.tree, path)
            if found is None or not stat.S_ISDIR(found[0]):
                raise EntryNotFoundError(f"{path[:200]!r} is not a folder of this revision")
            oid = found[1]
        return self._walk(f"{path}/" if path else "", oid, recursive=recursive)

    def files(self) -> list[str]:
        """The paths of all files."""
        return [path for path, _ in self._paths("", self.tree)]

    def _walk(self, prefix: str, oid: str, *, recursive: bool) -> Iterator[Entry]:
        for item in self._objects.tree(oid).items():
            entry = self._entry(prefix + decode(item.path), item.mode, item.sha.decode())
            yield entry
            if recursive and entry.is_folder:
                yield from self._walk(f"{entry.path}/", entry.oid, recursive=True)

    def _paths(self, prefix: str, oid: str) -> Iterator[tuple[str, str]]:
        for item in self._objects.tree(oid).items():
            path = prefix + decode(item.path)
            if stat.S_ISDIR(item.mode):
                yield from self._paths(f"{path}/", item.sha.decode())
            else:
                yield path, item.sha.decode()

    def _entry(self, path: str, mode: int, oid: str) -> Entry:
        if stat.S_ISDIR(mode):
            return Entry(path, oid, is_folder=True)
        facts = self._facts(oid)
        if facts.pointer is None:
            return Entry(path, oid, is_folder=False, size=facts.size)
        return Entry(path, oid, False, facts.pointer.size, facts.pointer, facts.size)

    def _facts(self, oid: str) -> _BlobFacts:
        with _facts_lock:
            known = _facts_by_oid.get(oid)
        if known is None:
            data = self._objects.blob(oid)
            known = _BlobFacts(len(data), Pointer.parse(data))
            with _facts_lock:
                _facts_by_oid[oid] = known
        return known


def locate(objects: Objects, tree: str, path: str) -> tuple[int, str] | None:
    """Mode and object id of `path` in a tree, or None."""
    mode, oid = stat.S_IFDIR, tree
    for name in path.split("/"):
        folder = objects.find(oid, Tree) if stat.S_ISDIR(mode) else None
        key = name.encode(errors="surrogateescape")
        if folder is None or not key or key not in folder:
            return None
        mode, found = folder[key]
        oid = found.decode()
    return mode, oid


_UNSAFE: Final = re.compile(r"[<>\x00-\x1f\x7f]+")
_IDENTITY: Final = re.compile(r"(?P<name>.*?) ?<(?P<email>[^<>]*)>")


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


@dataclass(frozen=True, slots=True)
class CommitRecord:
    """A commit as it is listed."""

    oid: str
    author: str
    date: int
    title: str
    message: str


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


def record(commit: Commit) -> CommitRecord:
    """What a listing shows of a commit."""
    message = commit.message.decode(errors="replace").strip("\n")
    title, _, rest = message.partition("\n")
    identity = _IDENTITY.match(commit.author.decode(errors="replace"))
    author = identity["name"] if identity else "unknown"
    return CommitRecord(commit.id.decode(), author, commit.commit_time, title, rest.strip("\n"))


def ancestry(objects: Objects, start: str) -> Iterator[Commit]:
    """A commit and its ancestors along the first parents, newest first."""
    oid: str | None = start
    while oid is not None:
        commit = objects.commit(oid)
        yield commit
        oid = commit.parents[0].decode() if commit.parents else None


def last_changes(objects: Objects, start: str, paths: Iterable[str]) -> dict[str, CommitRecord]:
    """For each path, the newest commit up to `start` that changed it."""
    pending = set(paths)
    found: dict[str, CommitRecord] = {}
    for commit in ancestry(objects, start):
        if not pending:
            break
        parent = (
            objects.commit(commit.parents[0].decode()).tree.decode() if commit.parents else None
        )
        tree = commit.tree.decode()
        for path in list(pending):
            before = locate(objects, parent, path) if parent else None
            if before != locate(objects, tree, path):
                found[path] = record(commit)
                pending.discard(path)
    return found
