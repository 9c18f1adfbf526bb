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

BATCH, BATCH_BYTES = 256, 1 << 25


class Parquet(FileReader):
    """A source of parquet files. Only the columns of the mapping are read."""

    def check(self, source: SourceSpec) -> None:
        self._columns = sorted({column for column, _ in source.reads.columns()})
        for path in self._files:
            try:
                schema = pq.read_schema(path)
            except (OSError, pa.ArrowInvalid) as error:
                raise BadSource(
                    f"source {source.name}: {path} is not a parquet file: {error}"
                ) from error
            check_schema(source.name, source.reads, schema)

    def extents(self) -> list[Extent]:
        return [
            Extent(number, group, group + 1)
            for number, path in enumerate(self._files)
            for group in range(pq.read_metadata(path).num_row_groups)
        ]

    def rows(self, extent: Extent) -> Iterator[SourceRow]:
        with pq.ParquetFile(self._files[extent.file]) as file:
            group = file.metadata.row_group(extent.start)
            number = sum(file.metadata.row_group(n).num_rows for n in range(extent.start))
            last = number + group.num_rows
            # Fewer at once where they are large, as pictures are.
            at_once = BATCH_BYTES * group.num_rows // max(1, group.total_byte_size)
            try:
                for batch in file.iter_batches(
                    max(1, min(BATCH, at_once)),
                    row_groups=[extent.start],
                    columns=self._columns,
                    use_threads=False,
                ):
                    for values in table_rows(batch):
                        yield SourceRow(f"{extent.file}-{number}", values)
                        number += 1
            except (OSError, pa.ArrowInvalid):
                # Each other row of the group is lost.
                for lost in range(number, last):
                    yield SourceRow(f"{extent.file}-{lost}", Unreadable("parquet: damaged"))
