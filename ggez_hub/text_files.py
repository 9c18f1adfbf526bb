"""Text files of strangers, with a limit on what is held of a file and of a line."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import BinaryIO, TextIO

# A longer line is a mistake: decoded, JSON may take thirty times as much.
LONGEST_LINE = 8 << 20
# Of a file that is read at once.
MAX_BYTES = 256_000_000
# What a terminal obeys in a stranger's text: control characters but for tab and newline (escape
# sequences move the cursor, set the title, write to the clipboard); the marks that reorder text
# (Unicode UAX #9); and surrogates, which no stream takes.
COMMANDS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


class TooLong(ValueError):
    """A file is larger than a text of its kind may be."""


def read_text(path: Path, most: int) -> str:
    """The text of a file of at most `most` bytes: what is given may be a device, or enormous.

    Raises TooLong, OSError, and UnicodeDecodeError, a ValueError, for what is not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLong(f"larger than {most:,} bytes")
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8").read()


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
