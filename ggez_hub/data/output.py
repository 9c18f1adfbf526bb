"""The output folder: parquet shards, the report, its picture and the dataset card."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.report import FilterReport
from ggez_hub.data.report_chart import draw
from ggez_hub.data.report_markdown import markdown
from ggez_hub.data.rows import OUTPUT, read_batches
from ggez_hub.data.work_folder import WorkFolder

# When a row group of the output is large enough, whichever comes first.
GROUP_ROWS, GROUP_BYTES = 8192, 1 << 25


def write_output(
    out: Path, plan: FilterPlan, work: WorkFolder, parts: Sequence[PartId], report: FilterReport
) -> None:
    """Write `out`, complete or not at all.

    data/train-XXXXX-of-XXXXX.parquet, which `datasets` loads; report.json; data_filter.json, the
    block of the adapter card; README.md, report.png and report.svg.
    """
    with atomic_folder(out) as partial:
        (partial / "data").mkdir()
        counts = report.document["counts"]
        kept = (b for part in parts for b in read_batches(work.table("kept", part.number)))
        _write_shards(
            partial / "data", plan.spec.rows_per_shard, kept, counts["kept"] + counts["translated"]
        )
        report.write(partial)
        (partial / "README.md").write_text(markdown(report.document), encoding="utf-8")
        draw(report.document, partial / "report")


def _write_shards(
    folder: Path, rows_per_shard: int, batches: Iterator[pa.RecordBatch], rows: int
) -> None:
    count = max(1, -(-rows // rows_per_shard))
    waiting: list[pa.RecordBatch] = []
    for shard in range(count):
        path = folder / f"train-{shard:05d}-of-{count:05d}.parquet"
        with pq.ParquetWriter(path, OUTPUT, compression="zstd") as writer:
            for group in _row_groups(_taken(batches, waiting, rows_per_shard)):
                writer.write_table(group)


def _taken(
    batches: Iterator[pa.RecordBatch], waiting: list[pa.RecordBatch], room: int
) -> Iterator[pa.RecordBatch]:
    """The next `room` rows of `waiting` and `batches`; what is cut off waits."""
    while room and (batch := waiting.pop() if waiting else next(batches, None)) is not None:
        if batch.num_rows > room:
            waiting.append(batch.slice(room))
            batch = batch.slice(0, room)
        room -= batch.num_rows
        yield batch


def _row_groups(batches: Iterator[pa.RecordBatch]) -> Iterator[pa.Table]:
    """Batches together: small row groups are slow to write and to read, large ones need memory."""
    group: list[pa.RecordBatch] = []
    for batch in batches:
        group.append(batch)
        table = pa.Table.from_batches(group)
        if table.num_rows >= GROUP_ROWS or table.nbytes >= GROUP_BYTES:
            yield table
            group = []
    if group:
        yield pa.Table.from_batches(group)
