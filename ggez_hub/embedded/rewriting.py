"""Writing the history of a repository anew, with some of its files replaced or left out."""

from __future__ import annotations

import stat
from collections.abc import Iterator, Mapping

from dulwich.objects import Commit, ObjectID, Tag, Tree
from dulwich.refs import Ref

from ggez_hub.embedded.objects import Objects, encode
from ggez_hub.embedded.repository import GitRepository


def rewrite(git: GitRepository, blobs: Mapping[str, str | None]) -> None:
    """Move every ref to a history with other blobs in place of `blobs`, without those that become None.

    The caller holds the lock of the repository. Folders that lose all files go, too. After a kill some refs have
    moved: the same call moves the rest.
    """
    rewriting = _Rewriting(git.objects, blobs)
    for ref, oid in git.refs.values().items():
        new = rewriting.rewritten(oid)
        if new != oid:
            git.move(Ref(encode(ref)), oid, new)


class _Rewriting:
    """The new ids of objects by their old ones; each object is written once."""

    def __init__(self, objects: Objects, blobs: Mapping[str, str | None]) -> None:
        self._objects = objects
        self._new: dict[str, str | None] = dict(blobs)

    def rewritten(self, tip: str) -> str:
        """The id that a commit or an annotated tag has then."""
        waiting = [tip]
        while waiting:
            oid = waiting[-1]
            if oid in self._new:
                waiting.pop()
                continue
            item = self._objects.store[ObjectID(oid.encode())]
            missing = [each for each in _below(item) if each not in self._new]
            if missing:
                waiting += missing
            else:
                waiting.pop()
                self._new[oid] = self._written(oid, item)
        return self._id(tip)

    def _id(self, oid: str) -> str:
        """The new id of what cannot be left out: of the tree of a commit, the empty tree is."""
        return self._new[oid] or self._objects.write(Tree())

    def _written(self, oid: str, item: object) -> str | None:
        """The new id of an object below which everything is written; None for a tree without entries."""
        if isinstance(item, Tree):
            found = [
                (entry, self._new.get(entry.sha.decode(), entry.sha.decode()))
                for entry in item.items()
            ]
            if all(entry.sha.decode() == new for entry, new in found):
                return oid
            tree = Tree()
            for entry, new in found:
                if new is not None:
                    tree.add(entry.path, entry.mode, ObjectID(new.encode()))
            return self._objects.write(tree) if len(tree) else None
        if all(self._new[below] == below for below in _below(item)):
            return oid
        if isinstance(item, Commit):
            item.tree = ObjectID(self._id(item.tree.decode()).encode())
            item.parents = [ObjectID(self._id(each.decode()).encode()) for each in item.parents]
            # It was for what stood there before.
            item.gpgsig = None
            return self._objects.write(item)
        if isinstance(item, Tag):
            kind, target = item.object
            item.object = (kind, ObjectID(self._id(target.decode()).encode()))
            item.signature = None
            return self._objects.write(item)
        return oid


def _below(item: object) -> Iterator[str]:
    """What has to be written first; blobs are not read."""
    if isinstance(item, Commit):
        yield item.tree.decode()
        yield from (parent.decode() for parent in item.parents)
    elif isinstance(item, Tag):
        yield item.object[1].decode()
    elif isinstance(item, Tree):
        yield from (entry.sha.decode() for entry in item.items() if stat.S_ISDIR(entry.mode))
