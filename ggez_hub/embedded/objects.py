"""The object database of one bare repository: immutable, content-addressed, durable.

Reading is dulwich's. Objects are written here: dulwich (as git) takes `<object>.lock` while it writes, and
a server that is killed in that moment would leave a lock that blocks the object for ever.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TypeVar

from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, ShaFile, Tree

from ggez_hub.embedded.durable import sync_folder, write_file

T = TypeVar("T", bound=ShaFile)


class Objects:
    """The objects of a repository whose git folder is `path`."""

    def __init__(self, path: Path) -> None:
        self._folder = path / "objects"
        self._store = DiskObjectStore(self._folder)

    def close(self) -> None:
        """Close the packs that were opened."""
        self._store.close()

    def find(self, oid: str, kind: type[T]) -> T | None:
        """The object `oid` if it is here and of that kind."""
        try:
            found = self._store[ObjectID(oid.encode())]
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

    def starting_with(self, prefix: str) -> Iterator[str]:
        """The ids that begin with some hexadecimal digits."""
        for oid in self._store.iter_prefix(prefix.encode()):
            yield oid.decode()

    def write(self, item: ShaFile) -> str:
        """Store an object; it is on disk when this returns."""
        oid = item.id.decode()
        path = self._folder / oid[:2] / oid[2:]
        if path.exists() or item.id in self._store:
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
