"""The output of a filter: what was kept, in shards, and the report."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ggez_hub.data.rows import OUTPUT, read_batches

# When a row group of the output is large enough, whichever comes first.
GROUP_ROWS, GROUP_BYTES = 8192, 1 << 25


@dataclass(frozen=True)
class Shards:
    """The rows of tables, in files of `rows_per_shard` that `datasets` loads: a task for each.

    `tables` are Arrow files with `counts` rows.
    """

    folder: Path
    tables: Sequence[Path]
    counts: Sequence[int]
    rows_per_shard: int

    def __len__(self) -> int:
        return max(1, -(-sum(self.counts) // self.rows_per_shard))

    def write(self, shard: int) -> None:
        """Write data/train-XXXXX-of-XXXXX.parquet."""
        path = self.folder / f"train-{shard:05d}-of-{len(self):05d}.parquet"
        # On another machine it is not there yet.
        self.folder.mkdir(parents=True, exist_ok=True)
        with pq.ParquetWriter(path, OUTPUT, compression="zstd") as writer:
            for group in _row_groups(self._batches(shard * self.rows_per_shard)):
                writer.write_table(group)

    def _batches(self, first: int) -> Iterator[pa.RecordBatch]:
        """The rows of a shard that begins with row `first` of all tables."""
        starts = [0, *accumulate(self.counts)]
        place, room = bisect_right(starts, first) - 1, self.rows_per_shard
        skipped = first - starts[place]
        for table in self.tables[place:]:
            for batch in read_batches(table):
                if skipped >= batch.num_rows:
                    skipped -= batch.num_rows
                    continue
                taken = batch.slice(skipped, room)
                skipped, room = 0, room - taken.num_rows
                yield taken
                if not room:
                    return


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches together: small row groups are slow to write and to read, large ones need memory."""
    group: list[pa.RecordBatch] = []
    rows = nbytes = 0
    for batch in batches:
        group.append(batch)
        rows, nbytes = rows + batch.num_rows, nbytes + batch.nbytes
        if rows >= GROUP_ROWS or nbytes >= GROUP_BYTES:
            yield pa.Table.from_batches(group)
            group, rows, nbytes = [], 0, 0
    if group:
        yield pa.Table.from_batches(group)
