"""The history of a branch: its commits, and which of them changed each path last.

Both follow from a commit alone, which never changes: what was found for one is remembered, and the next
one continues from there. A long list of commits is also kept in a file of the repository.
"""

from __future__ import annotations

import stat
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from threading import Lock
from typing import Final, Generic, NamedTuple, TypeVar

from dulwich.objects import parse_tree

from ggez_hub.atomic_files import write_file
from ggez_hub.embedded.objects import Objects, decode

_HISTORIES: Final = 256
_MAPS: Final = 8
_SHA1_BYTES: Final = 20
# After so many steps the file is read, and after so many that it does not save it is written.
_SHORT: Final = 64
_LONG: Final = 512

T = TypeVar("T")
_Tree = dict[bytes, tuple[int, bytes]]


class _Recent(Generic[T]):
    """The values of the commits that were last asked for."""

    def __init__(self, limit: int) -> None:
        self._values: OrderedDict[str, T] = OrderedDict()
        self._limit = limit
        self._lock = Lock()

    def get(self, commit: str) -> T | None:
        with self._lock:
            if commit in self._values:
                self._values.move_to_end(commit)
            return self._values.get(commit)

    def put(self, commit: str, value: T) -> None:
        with self._lock:
            self._values[commit] = value
            while len(self._values) > self._limit:
                self._values.popitem(last=False)


class Link(NamedTuple):
    """A commit of a history, and its tree."""

    commit: str
    tree: str


_histories: Final[_Recent[tuple[Link, ...]]] = _Recent(_HISTORIES)
_changes: Final[_Recent[Mapping[str, str]]] = _Recent(_MAPS)


def first_parents(objects: Objects, start: str) -> Sequence[Link]:
    """A commit and its ancestors along the first parents, newest first."""
    newest: list[Link] = []
    rest: tuple[Link, ...] = ()
    kept: tuple[Link, ...] = ()
    commit: str | None = start
    while commit is not None and not (rest := _histories.get(commit) or ()):
        if len(newest) == _SHORT:
            kept = _read_kept(objects)
        if kept and kept[0].commit == commit:
            rest = kept
            break
        tree, parent = _tree_and_parent(objects, commit)
        newest.append(Link(commit, tree))
        commit = parent
    found = (*newest, *rest)
    _histories.put(start, found)
    if len(newest) > _LONG:
        lines = "".join(f"{link.commit} {link.tree}\n" for link in found)
        # It saves time, nothing else: a full disk is no reason to fail.
        with suppress(OSError):
            write_file(objects.history_file, lines, durable=False)
    return found


def _read_kept(objects: Objects) -> tuple[Link, ...]:
    """The links in the file; none where it is absent or damaged."""
    try:
        text = objects.history_file.read_text(encoding="ascii")
        return tuple(Link(*line.split(" ")) for line in text.splitlines())
    except (OSError, ValueError, TypeError):
        return ()


def last_changes(objects: Objects, start: str) -> Mapping[str, str]:
    """For each path of a commit, files and folders, the newest commit up to it that changed the path."""
    waiting: list[Link] = []
    found: dict[str, str] = {}
    tree: str | None = None
    for link in first_parents(objects, start):
        if (known := _changes.get(link.commit)) is not None:
            found, tree = dict(known), link.tree
            break
        waiting.append(link)
    trees = _Trees(objects)
    for link in reversed(waiting):
        _apply(trees, tree, link.tree, "", link.commit, found)
        tree = link.tree
    _changes.put(start, found)
    return found


class _Trees:
    """The parsed trees of a walk; each is the older one of a comparison right after it was the newer."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self._parsed: _Recent[_Tree] = _Recent(64)

    def read(self, oid: str | None) -> _Tree:
        if oid is None:
            return {}
        tree = self._parsed.get(oid)
        if tree is None:
            raw = self._objects.raw(oid)
            tree = {name: (mode, sha) for name, mode, sha in parse_tree(raw, _SHA1_BYTES)}
            self._parsed.put(oid, tree)
        return tree


def _apply(
    trees: _Trees, old: str | None, new: str | None, prefix: str, commit: str, found: dict[str, str]
) -> None:
    """Record that `commit` changed what differs between two trees below `prefix`."""
    if old == new:
        return
    before, after = trees.read(old), trees.read(new)
    changed = before.items() ^ after.items()
    for name in {name for name, _ in changed}:
        path = prefix + decode(name)
        if name in after:
            found[path] = commit
        else:
            found.pop(path, None)
        old_tree, new_tree = _folder(before.get(name)), _folder(after.get(name))
        if old_tree != new_tree:
            _apply(trees, old_tree, new_tree, f"{path}/", commit, found)


def _folder(entry: tuple[int, bytes] | None) -> str | None:
    return entry[1].decode() if entry and stat.S_ISDIR(entry[0]) else None


def _tree_and_parent(objects: Objects, commit: str) -> tuple[str, str | None]:
    tree, _, rest = objects.raw(commit).partition(b"\n")
    parent = rest.partition(b"\n")[0] if rest.startswith(b"parent ") else None
    return tree[5:].decode(), parent[7:].decode() if parent else None
