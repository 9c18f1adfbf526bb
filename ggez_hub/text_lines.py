"""Text files of strangers, line by line, with a limit on what is held of a line and of a file."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, TextIO

# A longer line is a mistake: decoded, JSON may take thirty times as much.
LONGEST_LINE = 8 << 20
# Of a file that is read at once.
MAX_BYTES = 256_000_000


def read_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file that are not blank; raises ValueError for a long one, or too many."""
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it has more than {MAX_BYTES:,} bytes")
    with path.open("rb") as file:
        for number, line in enumerate(iter(partial(file.readline, LONGEST_LINE), b""), 1):
            if len(line) == LONGEST_LINE:
                raise ValueError(f"line {number} has more than {LONGEST_LINE:,} bytes")
            if not line.isspace():
                yield line


def skip_line(file: BinaryIO) -> None:
    """Read to the end of a line, of which no more than a part is held."""
    while (part := file.readline(LONGEST_LINE)) and not part.endswith(b"\n"):
        pass


def pieces(file: TextIO) -> Iterator[str]:
    """The lines of a text file, a long one in pieces: what reads CSV finds them damaged."""
    return iter(partial(file.readline, LONGEST_LINE), "")
