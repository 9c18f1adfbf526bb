"""Text files read up to an end: what is handed over may be a device, or a disk's worth of text."""

from __future__ import annotations

import io
from pathlib import Path


class TooLong(ValueError):
    """A file has more bytes than a text of its kind."""


def read_text(path: Path, most: int) -> str:
    """The text of a file of at most `most` bytes.

    Raises TooLong, OSError, and UnicodeDecodeError, a ValueError, for what is not UTF-8.
    """
    with path.open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise TooLong(f"larger than {most:,} bytes")
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8").read()
