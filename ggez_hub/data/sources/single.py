"""A small file read at once: JSON lines or parquet, in which every row has to be good."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ggez_hub.data.sources.base import BadSource, Unreadable
from ggez_hub.data.sources.jsonl import byte_ranges, json_lines


def rows_of_file(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows with their numbers; raises BadSource."""
    if path.suffix == ".parquet":
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            yield from enumerate(pq.read_table(path).to_pylist())
        except (OSError, pa.ArrowInvalid) as error:
            raise BadSource(f"{path} is no parquet file: {error}") from error
        return
    number = 0
    for start, stop in byte_ranges(path):
        for _, row in json_lines(path, start, stop):
            if isinstance(row, Unreadable):
                raise BadSource(f"{path}: row {number}: {row.reason}")
            yield number, row
            number += 1
