"""The object database of one bare repository: immutable, content-addressed, durable.

Reading is dulwich's. Objects are written here: dulwich (as git) takes `<object>.lock` while it writes, and
a server that is killed in that moment would leave a lock that blocks the object for ever.

What is written can be read back at once, and is on disk after `flush`: few objects one by one, many in a
pack, so that a thousand files cost two fsyncs instead of two thousand.
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

from dulwich.errors import ChecksumMismatch, FileFormatException
from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.object_store import DiskObjectStore
from dulwich.objects import Blob, Commit, ObjectID, RawObjectID, ShaFile, Tree
from dulwich.pack import pack_object_header, write_pack_index_v2

from ggez_hub.atomic_files import atomic_file, sync
from ggez_hub.embedded.errors import HubError

# More than these go into a pack.
MAX_LOOSE: Final = 24
MAX_LOOSE_BYTES: Final = 4 << 20
# As git names a pack that is being received, so that its own housekeeping knows what it is.
TEMPORARY_PACK: Final = "tmp_pack_"
# What reading an object raises that is missing or damaged.
DAMAGED: Final = (
    *(KeyError, AssertionError, ValueError, struct.error, zlib.error),
    *(FileFormatException, ChecksumMismatch),
)
# A file that is touched before objects are removed.
PRUNING: Final = "hub-pruning"
_LEVEL: Final = 1
_HEADER: Final = struct.Struct(">4sII")

T = TypeVar("T", bound=ShaFile)
_Side = tuple[bytes | None, int | None, ObjectID | None]


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file that differs between two trees; an id is None where the file is absent."""

    path: str
    before: str | None
    after: str | None
    sides: tuple[_Side, _Side]


class _Store(DiskObjectStore):
    """Looks twice: after the packs were searched, a loose object may be put into a new one."""

    def get_raw(self, name: ObjectID | RawObjectID) -> tuple[int, bytes]:
        try:
            return super().get_raw(name)
        except KeyError:
            return super().get_raw(name)


class Objects:
    """The objects of a repository whose git folder is `path`."""

    def __init__(self, path: Path) -> None:
        self._folder = path / "objects"
        self.history_file = path / "hub-history"
        self.store = _Store(self._folder)
        self._loose: dict[str, ShaFile] = {}
        self._loose_bytes = 0
        self._pack: NewPack | None = None
        # Written by others before, and counted on: pruning may take them.
        self._found: set[str] = set()
        self._pruned = self.last_pruning()
        self.written = 0

    def close(self) -> None:
        """Close the packs that were opened; what was not flushed is forgotten."""
        self._loose.clear()
        if self._pack is not None:
            self._pack.abandon()
            self._pack = None
        self.store.close()

    def find(self, oid: str, kind: type[T]) -> T | None:
        """The object `oid` if it is here and of that kind."""
        found = self._loose.get(oid) or (self._pack.get(oid) if self._pack else None)
        try:
            found = found or self.store[ObjectID(oid.encode())]
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

    def raw(self, oid: str) -> bytes:
        """The bytes of a stored object that must exist (KeyError otherwise), for long walks."""
        try:
            with open(f"{self._folder}/{oid[:2]}/{oid[2:]}", "rb") as file:  # noqa: PTH123 - in haste
                data = zlib.decompress(file.read())
        except FileNotFoundError:
            return self.store.get_raw(ObjectID(oid.encode()))[1]
        return data[data.index(b"\0") + 1 :]

    def kind(self, oid: str) -> int:
        """The number of the type of a stored object that must exist (KeyError otherwise)."""
        return self.store.get_raw(ObjectID(oid.encode()))[0]

    def short_blob(self, oid: str, most: int) -> bytes | None:
        """The content of a blob if it has at most `most` bytes; it must exist (KeyError otherwise)."""
        try:
            # What is short is short when it is compressed, too.
            if Path(f"{self._folder}/{oid[:2]}/{oid[2:]}").stat().st_size > 2 * most:
                return None
        except FileNotFoundError:
            pass
        data = self.raw(oid)
        return data if len(data) <= most else None

    @property
    def pending(self) -> int:
        """The bytes that were written and not flushed."""
        return self._loose_bytes + (self._pack.size if self._pack else 0)

    def last_pruning(self) -> int:
        """Changes whenever objects are about to be removed."""
        try:
            return (self._folder / PRUNING).stat().st_mtime_ns
        except FileNotFoundError:
            return 0

    def changes(self, old: str | None, new: str) -> list[FileChange]:
        """The files that differ between two trees (None: the empty one), by path."""
        before = ObjectID(old.encode()) if old else None
        found = [
            FileChange(
                path=decode(paths[1] or paths[0] or b""),
                before=oids[0].decode() if oids[0] else None,
                after=oids[1].decode() if oids[1] else None,
                sides=((paths[0], modes[0], oids[0]), (paths[1], modes[1], oids[1])),
            )
            for paths, modes, oids in self.store.tree_changes(before, ObjectID(new.encode()))
        ]
        return sorted(found, key=lambda change: change.path)

    def write(self, item: ShaFile) -> str:
        """Add an object; it is on disk after `flush`."""
        oid = item.id.decode()
        if oid in self._loose or (self._pack and oid in self._pack):
            return oid
        if item.id in self.store:
            self._found.add(oid)
            self._freshen(oid)
            return oid
        self._loose[oid] = item
        self._loose_bytes += item.raw_length()
        if self._pack or len(self._loose) > MAX_LOOSE or self._loose_bytes > MAX_LOOSE_BYTES:
            self._pack = self._pack or NewPack(self._folder / "pack")
            for waiting in self._loose.values():
                self._pack.add(waiting)
            self._loose.clear()
        return oid

    def write_blob(self, data: bytes) -> str:
        """Add the content of a file."""
        return self.write(Blob.from_string(data))

    def flush(self) -> None:
        """Bring what was written to disk; it is durable when this returns.

        Raises HubError if an object that was here when it was written has been pruned since.
        """
        self._check_found()
        folders = set()
        for oid, item in self._loose.items():
            path = self._folder / oid[:2] / oid[2:]
            if not path.parent.exists():
                folders.add(self._folder)
            with atomic_file(path, mode=0o444, durable=False) as partial:
                partial.write_bytes(item.as_legacy_object())
                # The folders follow below, once each.
                sync(partial)
            folders.add(path.parent)
            self.written += path.stat().st_size
        for folder in folders:
            sync(folder)
        self._loose.clear()
        self._loose_bytes = 0
        if self._pack is not None:
            self.written += self._pack.finish().stat().st_size
            self._pack = None

    def _freshen(self, oid: str) -> None:
        """As git does: what is counted on is as young as if it had been written now."""
        try:
            os.utime(f"{self._folder}/{oid[:2]}/{oid[2:]}")
        except FileNotFoundError:
            for pack in self.store.packs:
                if ObjectID(oid.encode()) in pack:
                    with suppress(FileNotFoundError):
                        os.utime(f"{pack._basename}.idx")

    def _check_found(self) -> None:
        pruned = self.last_pruning()
        if pruned != self._pruned:
            with closing(DiskObjectStore(self._folder)) as store:
                if any(ObjectID(oid.encode()) not in store for oid in self._found):
                    raise HubError("Old objects of the repo were removed meanwhile: try again", 503)
            self._pruned = pruned

    def _get(self, oid: str, kind: type[T]) -> T:
        found = self.find(oid, kind)
        if found is None:
            raise KeyError(oid)
        return found


class _Entry(NamedTuple):
    offset: int
    crc: int
    start: int
    length: int
    kind: int


class NewPack:
    """A pack in the folder `objects/pack` of a repository; invisible until it is finished.

    https://git-scm.com/docs/pack-format
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY_PACK)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "w+b")
        self._file.write(_HEADER.pack(b"PACK", 2, 0))
        self._entries: dict[str, _Entry] = {}

    def __contains__(self, oid: str) -> bool:
        return oid in self._entries

    def add(self, item: ShaFile) -> None:
        raw = item.as_raw_string()
        header = bytes(pack_object_header(item.type_num, None, len(raw), DEFAULT_OBJECT_FORMAT))
        data = zlib.compress(raw, _LEVEL)
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(header + data)
        self._entries[item.id.decode()] = _Entry(
            offset, zlib.crc32(header + data), offset + len(header), len(data), item.type_num
        )

    @property
    def size(self) -> int:
        """The bytes so far."""
        return self._file.seek(0, os.SEEK_END)

    def get(self, oid: str) -> ShaFile | None:
        """An object that was added, or None."""
        entry = self._entries.get(oid)
        if entry is None:
            return None
        self._file.seek(entry.start)
        raw = zlib.decompress(self._file.read(entry.length))
        return ShaFile.from_raw_string(entry.kind, raw, sha=ObjectID(oid.encode()))

    def finish(self) -> Path:
        """Put the pack in place, durably: the pack before its index, by which it is found."""
        self._file.seek(0)
        self._file.write(_HEADER.pack(b"PACK", 2, len(self._entries)))
        self._file.seek(0)
        digest = hashlib.file_digest(self._file, lambda: hashlib.sha1(usedforsecurity=False))
        self._file.seek(0, os.SEEK_END)
        self._file.write(digest.digest())
        self._file.close()
        self._path.chmod(0o444)
        sync(self._path)
        target = self._path.replace(self._folder / f"pack-{digest.hexdigest()}.pack")
        entries = sorted(
            (bytes.fromhex(oid), entry.offset, entry.crc) for oid, entry in self._entries.items()
        )
        with (
            atomic_file(target.with_suffix(".idx"), mode=0o444) as partial,
            partial.open("wb") as f,
        ):
            write_pack_index_v2(f, entries, digest.digest())
        return target

    def abandon(self) -> None:
        """Remove what was written; after `finish` this does nothing."""
        self._file.close()
        self._path.unlink(missing_ok=True)


def decode(name: bytes) -> str:
    """A name in a tree as text; git does not demand UTF-8, so bytes survive the round trip."""
    return name.decode(errors="surrogateescape")


def encode(name: str) -> bytes:
    """The reverse of `decode`."""
    return name.encode(errors="surrogateescape")
