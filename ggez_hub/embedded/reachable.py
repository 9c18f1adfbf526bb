"""What the refs of a repository lead to: its git objects, and the large files they name."""

from __future__ import annotations

import stat
from collections.abc import Iterable
from typing import Final

from dulwich.objects import Blob, Commit, Tag, Tree, parse_tree

from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.objects import Objects

_SHA1_BYTES: Final = 20
_LONGEST_POINTER: Final = 200
_GITLINK: Final = 0o160000


class Reachable:
    """The ids of the objects that were reached, and the LFS objects that they name."""

    def __init__(self, objects: Objects) -> None:
        self._objects = objects
        self.ids: set[str] = set()
        self.blobs: set[str] = set()
        self.commits: set[str] = set()
        self.pointers: set[str] = set()

    def add(self, tips: Iterable[str]) -> None:
        """Follow `tips`, ids of any kind; raises KeyError for an object that is not there."""
        waiting = [(self._objects.kind(tip), tip) for tip in tips if tip not in self.ids]
        while waiting:
            kind, oid = waiting.pop()
            if oid in self.ids:
                continue
            if kind == Blob.type_num:
                self._add_blob(oid)
            else:
                if kind == Commit.type_num:
                    self.commits.add(oid)
                waiting += self._below(kind, self._objects.raw(oid))
            # At the end: what was begun and failed is not taken for complete.
            self.ids.add(oid)

    def _add_blob(self, oid: str) -> None:
        data = self._objects.short_blob(oid, _LONGEST_POINTER)
        pointer = Pointer.parse(data) if data is not None else None
        if pointer is not None:
            self.pointers.add(pointer.oid)
        self.blobs.add(oid)

    def _below(self, kind: int, data: bytes) -> list[tuple[int, str]]:
        if kind == Tree.type_num:
            return [
                (Tree.type_num if stat.S_ISDIR(mode) else Blob.type_num, sha.decode())
                for _, mode, sha in parse_tree(data, _SHA1_BYTES)
                if mode != _GITLINK
            ]
        head = data.partition(b"\n\n")[0].decode(errors="replace").splitlines()
        named = [line.split(" ", 1) for line in head]
        if kind == Tag.type_num:
            target = dict(pair for pair in named if len(pair) == 2)["object"]
            return [(self._objects.kind(target), target)]
        kinds = {"tree": Tree.type_num, "parent": Commit.type_num}
        return [(kinds[pair[0]], pair[1]) for pair in named if len(pair) == 2 and pair[0] in kinds]
