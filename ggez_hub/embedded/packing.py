"""New objects on their way into one pack: a thousand files cost two fsyncs instead of two thousand.

https://git-scm.com/docs/pack-format
"""

from __future__ import annotations

import hashlib
import os
import struct
import tempfile
import zlib
from pathlib import Path
from typing import Final

from dulwich.object_format import DEFAULT_OBJECT_FORMAT
from dulwich.objects import ObjectID, ShaFile
from dulwich.pack import pack_object_header, write_pack_index_v2

from ggez_hub.atomic_files import sync

# As git names a pack that is being received, so that its own housekeeping knows what it is.
TEMPORARY: Final = "tmp_pack_"
_LEVEL: Final = 1
_HEADER: Final = struct.Struct(">4sII")


class NewPack:
    """A pack in the folder `objects/pack` of a repository; invisible until it is finished."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        descriptor, name = tempfile.mkstemp(dir=folder, prefix=TEMPORARY)
        self._path = Path(name)
        self._file = os.fdopen(descriptor, "w+b")
        self._file.write(_HEADER.pack(b"PACK", 2, 0))
        self._entries: dict[str, tuple[int, int, int, int]] = {}

    def __contains__(self, oid: str) -> bool:
        return oid in self._entries

    def add(self, item: ShaFile) -> None:
        """Append an object."""
        raw = item.as_raw_string()
        header = bytes(pack_object_header(item.type_num, None, len(raw), DEFAULT_OBJECT_FORMAT))
        data = zlib.compress(raw, _LEVEL)
        offset = self._file.seek(0, os.SEEK_END)
        self._file.write(header + data)
        crc = zlib.crc32(data, zlib.crc32(header))
        self._entries[item.id.decode()] = (offset, crc, len(header), item.type_num)

    def get(self, oid: str) -> ShaFile | None:
        """An object that was added, or None."""
        entry = self._entries.get(oid)
        if entry is None:
            return None
        offset, _, header, kind = entry
        self._file.seek(offset + header)
        unzip, raw = zlib.decompressobj(), bytearray()
        while not unzip.eof:
            raw += unzip.decompress(self._file.read(64 << 10))
        return ShaFile.from_raw_string(kind, bytes(raw), sha=ObjectID(oid.encode()))

    def finish(self) -> None:
        """Put the pack in place, durably: the pack before its index, by which it is found."""
        self._file.seek(0)
        self._file.write(_HEADER.pack(b"PACK", 2, len(self._entries)))
        self._file.seek(0)
        digest = hashlib.file_digest(self._file, lambda: hashlib.sha1(usedforsecurity=False))
        self._file.seek(0, os.SEEK_END)
        self._file.write(digest.digest())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        index = self._write_index(digest.digest())
        target = self._folder / f"pack-{digest.hexdigest()}.pack"
        self._path.chmod(0o444)
        self._path.replace(target)
        index.replace(target.with_suffix(".idx"))
        sync(self._folder)

    def abandon(self) -> None:
        """Remove what was written; after `finish` this does nothing."""
        self._file.close()
        self._path.unlink(missing_ok=True)

    def _write_index(self, checksum: bytes) -> Path:
        entries = sorted(
            (bytes.fromhex(oid), offset, crc) for oid, (offset, crc, _, _) in self._entries.items()
        )
        path = self._path.with_suffix(".idx")
        with path.open("wb") as file:
            write_pack_index_v2(file, entries, checksum)
            file.flush()
            os.fsync(file.fileno())
        path.chmod(0o444)
        return path
