"""Shards: what files are made of, and what is in xorbs, in records of 48 bytes.

https://huggingface.co/docs/xet/shard
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.xet.hashing import HASH_BYTES, from_hex, keyed_hash, to_hex
from ggez_hub.embedded.xet.xorb import XorbIndex

MAX_SHARD: Final = 64 << 20

_TAG: Final = b"HFRepoMetaData\0" + bytes(
    (85, 105, 103, 69, 106, 123, 129, 87, 131, 165, 189, 217, 92, 205, 209, 74, 169)
)
_HEADER: Final = struct.Struct("<32sQQ")
_VERSION: Final = 2
_RECORD: Final = struct.Struct(f"<{HASH_BYTES}s4I")
# Where the place and length of a chunk end in its record.
_PLACE: Final = HASH_BYTES + 8
_LAST: Final = b"\xff" * HASH_BYTES
_END: Final = _RECORD.pack(_LAST, 0, 0, 0, 0)
_WITH_PROOFS: Final = 1 << 31
_WITH_SHA256: Final = 1 << 30
# Version, places of the sections, tables that are left out, key, created, expires, unused, own place.
_FOOTER: Final = struct.Struct(f"<9Q{HASH_BYTES}sQQ72xQ")
_FOOTER_VERSION: Final = 1


@dataclass(frozen=True, slots=True)
class Term:
    """A part of a file: the chunks of a xorb from `start` to before `end`, `size` bytes of content."""

    xorb: bytes
    size: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class FileInfo:
    """What a file is made of; `proofs` has the hash of each term, or is empty. `sha256` is hexadecimal;
    a shard has it in the order of a hash of Xet, or has none (for buckets): then it is empty."""

    hash: bytes
    terms: tuple[Term, ...]
    sha256: str
    proofs: tuple[bytes, ...] = ()

    @property
    def size(self) -> int:
        """The length of the file in bytes."""
        return sum(term.size for term in self.terms)

    def encode(self) -> bytes:
        """The file as records of a shard, without proofs."""
        records = [
            _RECORD.pack(self.hash, _WITH_SHA256, len(self.terms), 0, 0),
            *(_RECORD.pack(term.xorb, 0, term.size, term.start, term.end) for term in self.terms),
            _RECORD.pack(from_hex(self.sha256), 0, 0, 0, 0),
        ]
        return b"".join(records)

    @classmethod
    def decode(cls, data: bytes) -> FileInfo:
        """The reverse of `encode`."""
        records = _Records(data)
        return records.file(records.take())


@dataclass(frozen=True, slots=True)
class XorbInfo:
    """What a shard says about a xorb; `chunks` are its records."""

    hash: bytes
    chunks: bytes

    def matches(self, index: XorbIndex) -> bool:
        """Whether it says what is true of the stored xorb; flags of chunks are for the client alone."""
        ours = _chunk_records(index)
        return len(ours) == len(self.chunks) and all(
            ours[at : at + _PLACE] == self.chunks[at : at + _PLACE]
            for at in range(0, len(ours), _RECORD.size)
        )


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard as a client sends it."""

    files: tuple[FileInfo, ...]
    xorbs: tuple[XorbInfo, ...]


def parse(data: bytes) -> Shard:
    """A shard with a proof for each term, with or without a footer; raises InvalidRequestError."""
    if len(data) < _HEADER.size or _HEADER.unpack_from(data)[:2] != (_TAG, _VERSION):
        raise InvalidRequestError(f"This is not a shard of version {_VERSION}")
    records = _Records(data, _HEADER.size)
    files, xorbs = [], []
    while (record := records.take())[0] != _LAST:
        files.append(records.file(record))
        if len(files[-1].proofs) != len(files[-1].terms):
            raise InvalidRequestError("A file of the shard has no proof for each term")
    while (record := records.take())[0] != _LAST:
        xorbs.append(XorbInfo(record[0], records.raw(record[2])))
    return Shard(tuple(files), tuple(xorbs))


def serialize(xorbs: Iterable[tuple[bytes, XorbIndex]], key: bytes, expires: int) -> bytes:
    """A shard that lists for a client what is in xorbs.

    The hashes of chunks are hidden by `key`, if it is not zero: only who knows a chunk recognises it.
    """
    parts = [_END]
    for digest, index in xorbs:
        count = len(index)
        sizes = index.unpacked(count), index.packed(count)
        parts += [_RECORD.pack(digest, 0, count, *sizes), _chunk_records(index, key)]
    body = b"".join([*parts, _END])
    end = _HEADER.size + len(body)
    files, chunks = _HEADER.size, _HEADER.size + len(_END)
    footer = _FOOTER.pack(
        *(_FOOTER_VERSION, files, chunks, end, 0, end, 0, end, 0),
        *(key, int(time.time()), expires, end),
    )
    return _HEADER.pack(_TAG, _VERSION, len(footer)) + body + footer


_Record = tuple[bytes, int, int, int, int]


class _Records:
    """The records of a shard one after another; raises InvalidRequestError where it ends too early."""

    def __init__(self, data: bytes, start: int = 0) -> None:
        self._data = data
        self._at = start

    def raw(self, count: int) -> bytes:
        start, self._at = self._at, self._at + count * _RECORD.size
        if self._at > len(self._data):
            raise InvalidRequestError("The shard ends too early")
        return self._data[start : self._at]

    def take(self) -> _Record:
        record: _Record = _RECORD.unpack(self.raw(1))
        return record

    def file(self, header: _Record) -> FileInfo:
        """The file whose first record was taken."""
        digest, flags, count, _, _ = header
        terms = _RECORD.iter_unpack(self.raw(count))
        proofs = _RECORD.iter_unpack(self.raw(count if flags & _WITH_PROOFS else 0))
        return FileInfo(
            digest,
            tuple(Term(xorb, size, start, end) for xorb, _, size, start, end in terms),
            proofs=tuple(proof for proof, *_ in proofs),
            sha256=to_hex(self.take()[0]) if flags & _WITH_SHA256 else "",
        )


def _chunk_records(index: XorbIndex, key: bytes = b"") -> bytes:
    records = bytearray()
    start = 0
    for digest, size in index.chunks(0, len(index)):
        records += _RECORD.pack(keyed_hash(key, digest) if any(key) else digest, start, size, 0, 0)
        start += size
    return bytes(records)
