"""The object database of one bare repository: immutable, content-addressed, durable.

Reading is dulwich's. Objects are written here: dulwich (as git) takes `<object>.lock` while it writes, and
a server that is killed in that moment would leave a lock that blocks the object for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree

from ggez_hub.embedded.durable import sync_folder, write_file

T = TypeVar("T", bound=ShaFile)
_Side = tuple[bytes | None, int | None, ObjectID | None]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs between two trees; an id is None where the file is absent."""

    path: str
    before: str | None
    after: str | None
    sides: tuple[_Side, _Side]


class Objects:
    """The objects of a repository whose git folder is `path`."""

    def __init__(self, path: Path) -> None:
        self._folder = path / "objects"
        self.store = DiskObjectStore(self._folder)

    def close(self) -> None:
        """Close the packs that were opened."""
        self.store.close()

    def find(self, oid: str, kind: type[T]) -> T | None:
        """The object `oid` if it is here and of that kind."""
        try:
            found = self.store[ObjectID(oid.encode())]
        except KeyError:
            return None
        return found if isinstance(found, kind) else None

    def commit(self, oid: str) -> Commit:
        """A commit that must exist (KeyError otherwise)."""
        return self._get(oid, Commit)

    def tree(self, oid: str) -> Tree:
        """A tree that must exist (KeyError otherwise)."""
        return self._get(oid, Tree)

    def blob(self, oid: str) -> bytes:
        """The content of a blob that must exist (KeyError otherwise)."""
        return self._get(oid, Blob).data

    def size(self, oid: str) -> int:
        """The length of an object that must exist (KeyError otherwise)."""
        return len(self.blob(oid))

    def changes(self, old: str | None, new: str) -> list[FileChange]:
        """The files that differ between two trees (None: the empty one), by path."""
        found = []
        before = ObjectID(old.encode()) if old else None
        for (source, target), modes, oids in self.store.tree_changes(
            before, ObjectID(new.encode())
        ):
            name = target if target is not None else source
            if name is None:
                continue
            found.append(
                FileChange(
                    path=name.decode(errors="surrogateescape"),
                    before=oids[0].decode() if oids[0] else None,
                    after=oids[1].decode() if oids[1] else None,
                    sides=((source, modes[0], oids[0]), (target, modes[1], oids[1])),
                )
            )
        return sorted(found, key=lambda change: change.path)

    def starting_with(self, prefix: str) -> Iterator[str]:
        """The ids that begin with some hexadecimal digits."""
        for oid in self.store.iter_prefix(prefix.encode()):
            yield oid.decode()

    def write(self, item: ShaFile) -> str:
        """Store an object; it is on disk when this returns."""
        oid = item.id.decode()
        path = self._folder / oid[:2] / oid[2:]
        if path.exists() or item.id in self.store:
            return oid
        if not path.parent.exists():
            path.parent.mkdir(exist_ok=True)
            sync_folder(self._folder)
        write_file(path, item.as_legacy_object(), 0o444)
        return oid

    def write_blob(self, data: bytes) -> str:
        """Store the content of a file."""
        return self.write(Blob.from_string(data))

    def _get(self, oid: str, kind: type[T]) -> T:
        found = self.find(oid, kind)
        if found is None:
            raise KeyError(oid)
        return found
