"""Tar files of strangers, read with a limit on what they decode to, and on their headers.

Eight megabytes of gzip can stand for gigabytes, and one header of the pax format for all of memory.
"""

from __future__ import annotations

import bz2
import gzip
import io
import tarfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

# Of an archive: pictures are packed already, so that a large one is about as large decoded.
LEAST, EXPANSION = 256 << 20, 16
LARGEST_HEADER = 1 << 20
# Kinds of members that `tarfile` holds in memory completely, before it returns the next one.
HEADERS = frozenset(
    {
        tarfile.XHDTYPE,
        tarfile.XGLTYPE,
        tarfile.SOLARIS_XHDTYPE,
        tarfile.GNUTYPE_LONGNAME,
        tarfile.GNUTYPE_LONGLINK,
    }
)
PACKED: Mapping[bytes, Callable[[BinaryIO], Any]] = {b"\x1f\x8b": gzip.open, b"BZ": bz2.open}


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """A tar file, plain or packed by gzip or bzip2, to be read from front to back.

    Raises tarfile.TarError, EOFError and OSError, also where it decodes to more than EXPANSION
    times its size (but at least LEAST), or has a header of more than LARGEST_HEADER bytes.
    """
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        opener = PACKED.get(start)
        plain = file if opener is None else opener(file)
        limited = _Limited(plain, max(LEAST, EXPANSION * path.stat().st_size))
        with tarfile.open(fileobj=limited, mode="r|", tarinfo=_Member) as tar:
            yield tar


class _Limited(io.RawIOBase):
    """A stream that ends in an error behind `left` bytes."""

    def __init__(self, stream: BinaryIO, left: int) -> None:
        self._stream, self._left = stream, left

    def read(self, size: int = -1) -> bytes:
        part = self._stream.read(size)
        self._left -= len(part)
        if self._left < 0:
            raise tarfile.ReadError("it decodes to too much")
        return part


class _Member(tarfile.TarInfo):
    """A member that is refused if it is a header that would fill the memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in HEADERS and self.size > LARGEST_HEADER:
            raise tarfile.ReadError("its headers are too large")
        return super()._proc_member(archive)  # type: ignore[misc]
