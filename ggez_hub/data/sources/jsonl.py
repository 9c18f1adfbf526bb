"""JSON lines, in parts that are ranges of bytes, and small files that are read at once."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ggez_hub import text_files
from ggez_hub.data.examples import Unreadable
from ggez_hub.data.sources.base import (
    LOOKED_AT,
    BadSource,
    Extent,
    FileReader,
    SourceRow,
    json_object,
)
from ggez_hub.parquet import read_pieces

PART_BYTES = 8 << 20


class JsonLines(FileReader):
    """A source of files with one JSON object on each line."""

    def extents(self) -> list[Extent]:
        return [
            Extent(number, start, stop)
            for number, path in enumerate(self._files)
            for start, stop in byte_ranges(path)
        ]

    def row_count(self) -> int:
        """By the length of the first lines."""
        with self._files[0].open("rb") as file:
            some = list(
                islice(
                    map(len, iter(partial(file.readline, text_files.LONGEST_LINE), b"")), LOOKED_AT
                )
            )
        return round(self.nbytes() * len(some) / max(sum(some), 1))

    def rows(self, extent: Extent) -> Iterator[SourceRow]:
        for offset, values in json_lines(self._files[extent.file], extent.start, extent.stop):
            yield SourceRow(f"{extent.file}-{offset}", values)


def byte_ranges(path: Path) -> Iterator[tuple[int, int]]:
    """Ranges of about PART_BYTES that end where a line ends."""
    size = path.stat().st_size
    start = 0
    with path.open("rb") as file:
        while start < size:
            file.seek(min(start + PART_BYTES, size))
            text_files.skip_line(file)
            stop = file.tell()
            yield start, stop
            start = stop


def json_lines(
    path: Path, start: int, stop: int
) -> Iterator[tuple[int, dict[str, object] | Unreadable]]:
    """The objects from byte `start` until before `stop`, each with the offset of its line."""
    with path.open("rb") as file:
        file.seek(start)
        while (offset := file.tell()) < stop:
            line = file.readline(text_files.LONGEST_LINE)
            if not line.endswith(b"\n") and len(line) == text_files.LONGEST_LINE:
                text_files.skip_line(file)
                yield offset, Unreadable("json: the line is too long")
                continue
            if line.isspace():
                continue
            yield offset, json_object(line, "line")


def rows_of_file(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a small file with their numbers; raises BadSource if one cannot be read."""
    if path.suffix == ".parquet":
        try:
            pieces = read_pieces(path, pq.read_schema(path).names, max_bytes=text_files.MAX_BYTES)
            yield from enumerate(row for piece in pieces for row in piece)
        except (OSError, ValueError) as error:
            raise BadSource(f"{path} is not a parquet file: {error}") from error
        return
    number = 0
    for start, stop in byte_ranges(path):
        for _, row in json_lines(path, start, stop):
            if isinstance(row, Unreadable):
                raise BadSource(f"{path}: row {number}: {row.reason}")
            yield number, row
            number += 1
