"""Parquet files: a part is a row group."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ggez_hub.data.examples import Unreadable
from ggez_hub.data.sources.base import (
    BadSource,
    Extent,
    FileReader,
    SourceRow,
    check_schema,
    table_rows,
)
from ggez_hub.data.spec import SourceSpec
from ggez_hub.parquet import MAX_ROWS, FileTooLarge, read_batches

BATCH, AT_A_TIME = 256, 1 << 25  # rows, bytes


class Parquet(FileReader):
    """A source of parquet files. Only the columns of the mapping are read."""

    def check(self, source: SourceSpec) -> None:
        self._columns = sorted({column for column, _ in source.reads.columns()})
        for path in self._files:
            try:
                metadata = pq.read_metadata(path)
            except (OSError, pa.ArrowInvalid) as error:
                raise BadSource(
                    f"source {source.name}: {path} is not a parquet file: {error}"
                ) from error
            if metadata.num_rows > MAX_ROWS:
                raise BadSource(f"source {source.name}: {path} has more than {MAX_ROWS:,} rows")
            check_schema(source.name, source.reads, metadata.schema.to_arrow_schema())

    def extents(self) -> list[Extent]:
        return [
            Extent(number, group, group + 1)
            for number, path in enumerate(self._files)
            for group in range(pq.read_metadata(path).num_row_groups)
        ]

    def row_count(self) -> int:
        return sum(pq.read_metadata(path).num_rows for path in self._files)

    def rows(self, extent: Extent) -> Iterator[SourceRow]:
        path = self._files[extent.file]
        metadata = pq.read_metadata(path)
        number = sum(metadata.row_group(n).num_rows for n in range(extent.start))
        last = number + metadata.row_group(extent.start).num_rows
        reason = "damaged"
        try:
            for batch in read_batches(path, self._columns, [extent.start], at_a_time=AT_A_TIME):
                # Texts that recur are stored once, until they are Python's.
                for start in range(0, batch.num_rows, BATCH):
                    for values in table_rows(batch.slice(start, BATCH)):
                        yield SourceRow(f"{extent.file}-{number}", values)
                        number += 1
        except FileTooLarge:
            reason = "too large"
        except (OSError, pa.ArrowInvalid):
            pass
        # Each other row of the group is lost.
        for lost in range(number, last):
            yield SourceRow(f"{extent.file}-{lost}", Unreadable(f"parquet: {reason}"))
