"""Xorbs: chunks one after another, each with a header and packed by itself.

https://huggingface.co/docs/xet/xorb. On disk an index follows the chunks as they were sent: for each its
hash, and where it ends, packed and unpacked; then the number of chunks.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, Final

from lz4.frame import LZ4FrameDecompressor

from ggez_hub.embedded.errors import InvalidRequestError, TooLargeError
from ggez_hub.embedded.xet.hashing import HASH_BYTES, hash_chunk, hash_xorb, to_hex

# 64 MiB of content that cannot be compressed, with a header for each chunk, and a footer.
MAX_XORB: Final = 65 << 20
MAX_CHUNKS: Final = 8192
MAX_CHUNK: Final = 128 << 10

_HEADER: Final = struct.Struct("<B3sB3s")
# What older clients send behind the chunks, and nobody needs to read them.
_FOOTER: Final = b"XETBLOB"
_ENTRY: Final = struct.Struct(f"<{HASH_BYTES}sII")
_ENDS: Final = struct.Struct("<II")
_COUNT: Final = struct.Struct("<I")
# How much is read from disk at once.
_BLOCK: Final = 1 << 20


class XorbIndex:
    """Where the chunks of a xorb are, and their hashes."""

    def __init__(self, entries: bytes) -> None:
        self._entries = entries

    def __len__(self) -> int:
        return len(self._entries) // _ENTRY.size

    @property
    def hash(self) -> bytes:
        """The hash of the xorb."""
        return hash_xorb(self.chunks(0, len(self)))

    def packed(self, chunk: int) -> int:
        """Where a chunk begins in the xorb; with the number of chunks, where the last one ends."""
        return self._ends(chunk)[0]

    def unpacked(self, chunk: int) -> int:
        """How many bytes of content are before a chunk."""
        return self._ends(chunk)[1]

    def hashes(self, start: int, end: int) -> list[bytes]:
        """The hashes of a range of chunks."""
        size = _ENTRY.size
        return [self._entries[at : at + HASH_BYTES] for at in range(start * size, end * size, size)]

    def chunks(self, start: int, end: int) -> list[tuple[bytes, int]]:
        """The hashes and lengths of a range of chunks."""
        ends = [self.unpacked(chunk) for chunk in range(start, end + 1)]
        lengths = (after - before for before, after in pairwise(ends))
        return list(zip(self.hashes(start, end), lengths, strict=True))

    def _ends(self, chunk: int) -> tuple[int, int]:
        if chunk == 0:
            return 0, 0
        packed, unpacked = _ENDS.unpack_from(self._entries, chunk * _ENTRY.size - _ENDS.size)
        return packed, unpacked


class XorbWriter:
    """A xorb on its way in: each chunk is unpacked and hashed as it comes."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._pending = bytearray()
        self._entries = bytearray()
        self._size = self._packed = self._unpacked = 0
        self._ended = False

    def write(self, data: bytes) -> None:
        """Take the next bytes; raises InvalidRequestError, TooLargeError."""
        self._size += len(data)
        if self._size > MAX_XORB:
            raise TooLargeError(f"A xorb is at most {MAX_XORB} bytes")
        if self._ended:
            return
        self._pending += data
        start = 0
        with memoryview(self._pending) as pending:
            while (length := self._chunk_length(start)) is not None:
                with pending[start : start + length] as packed:
                    self._add(packed)
                start += length
        del self._pending[: len(self._pending) if self._ended else start]

    def finish(self, expected: bytes) -> None:
        """Write the index; raises InvalidRequestError if this is not the xorb `expected`."""
        if self._pending:
            raise InvalidRequestError("The xorb ends inside a chunk")
        found = XorbIndex(bytes(self._entries)).hash
        if found != expected or not self._entries:
            raise InvalidRequestError(
                f"The xorb has the hash {to_hex(found)}, not the announced one"
            )
        self._file.write(self._entries + _COUNT.pack(len(self._entries) // _ENTRY.size))

    def _chunk_length(self, start: int) -> int | None:
        """How long the packed chunk is that begins at `start` of what is pending, if it is there."""
        if len(self._pending) - start < _HEADER.size:
            return None
        if self._pending.startswith(_FOOTER, start):
            self._ended = True
            return None
        version, packed, _, unpacked = _HEADER.unpack_from(self._pending, start)
        size = int.from_bytes(packed, "little")
        if (
            version
            or max(size, int.from_bytes(unpacked, "little")) > MAX_CHUNK
            or not any(unpacked)
        ):
            raise InvalidRequestError("The xorb has a chunk whose header is not valid")
        length = _HEADER.size + size
        return length if len(self._pending) - start >= length else None

    def _add(self, packed: memoryview) -> None:
        if len(self._entries) == MAX_CHUNKS * _ENTRY.size:
            raise TooLargeError(f"A xorb has at most {MAX_CHUNKS} chunks")
        content = unpack(packed)
        self._file.write(packed)
        self._packed += len(packed)
        self._unpacked += len(content)
        self._entries += _ENTRY.pack(hash_chunk(content), self._packed, self._unpacked)


def read_index(path: Path) -> XorbIndex:
    """The index of a stored xorb; raises FileNotFoundError."""
    with path.open("rb") as file:
        file.seek(-_COUNT.size, os.SEEK_END)
        (count,) = _COUNT.unpack(file.read())
        file.seek(-_COUNT.size - count * _ENTRY.size, os.SEEK_END)
        return XorbIndex(file.read(count * _ENTRY.size))


def read_chunks(path: Path, index: XorbIndex, start: int, end: int) -> Iterator[bytes]:
    """The content of the chunks from `start` to before `end`, in blocks of one or more."""
    with path.open("rb") as file:
        file.seek(index.packed(start))
        while start < end:
            stop = start + 1
            while stop < end and index.packed(stop + 1) - index.packed(start) <= _BLOCK:
                stop += 1
            data = memoryview(file.read(index.packed(stop) - index.packed(start)))
            places = [index.packed(chunk) - index.packed(start) for chunk in range(start, stop + 1)]
            yield b"".join(unpack(data[a:b]) for a, b in pairwise(places))
            start = stop


def unpack(packed: bytes | memoryview) -> bytes | memoryview:
    """The content of a packed chunk with its header, a part of it where it was not compressed.

    Raises InvalidRequestError.
    """
    _, _, scheme, unpacked = _HEADER.unpack_from(packed)
    size = int.from_bytes(unpacked, "little")
    content: bytes | memoryview = packed[_HEADER.size :]
    if scheme in {1, 2}:
        try:
            # One byte more than announced is enough to know that the header is false.
            content = LZ4FrameDecompressor().decompress(content, max_length=size + 1)
        except RuntimeError as error:
            raise InvalidRequestError("The xorb has a chunk that is not LZ4") from error
    elif scheme:
        raise InvalidRequestError(f"The xorb has a chunk with compression {scheme}")
    if len(content) != size:
        raise InvalidRequestError("The xorb has a chunk that is not as long as its header says")
    return _ungrouped(content) if scheme == 2 else content


def _ungrouped(content: bytes | memoryview) -> bytes:
    """The bytes in order: first came every fourth, then the ones after those."""
    ordered = bytearray(len(content))
    start = 0
    for offset in range(4):
        count = len(range(offset, len(content), 4))
        ordered[offset::4] = content[start : start + count]
        start += count
    return bytes(ordered)
