"""Reading the files of one commit."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from dulwich.lru_cache import LRUCache
from dulwich.objects import Tree

from ggez_hub.embedded.errors import EntryNotFoundError
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.objects import Objects
from ggez_hub.embedded.tree import decode


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
