"""A filter from sources to output: every part goes through the stages, then the output is written."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing
from pathlib import Path
from threading import Thread

import pyarrow as pa
import pyarrow.parquet as pq

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.data.croissant import write_croissant
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.region_rules import combination
from ggez_hub.data.report import FilterReport, make_report
from ggez_hub.data.report_pages import draw, markdown
from ggez_hub.data.rows import OUTPUT, read_batches
from ggez_hub.data.screener import Screener
from ggez_hub.data.spec import FilterSpec
from ggez_hub.data.stages import FilterStages
from ggez_hub.data.tally import Tally
from ggez_hub.data.work_folder import WorkFolder, container
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.extras import require
from ggez_hub.output_lock import lock_work_folder

# When a row group of the output is large enough, whichever comes first.
GROUP_ROWS, GROUP_BYTES = 8192, 1 << 25


def write_output(
    out: Path, plan: FilterPlan, work: WorkFolder, parts: Sequence[PartId], report: FilterReport
) -> None:
    """Write `out`, complete or not at all.

    data/train-XXXXX-of-XXXXX.parquet, which `datasets` loads; report.json; data_filter.json, the
    block of the adapter card; croissant.json; README.md, report.png and report.svg.
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
        write_croissant(partial, report.document, OUTPUT)


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


# Parts that are screened ahead of the one in the later stages, for each worker.
AHEAD = 2


def run_filter(
    spec: FilterSpec,
    folder: Path,
    out: Path,
    *,
    workers: int = 1,
    strict: bool = False,
    did: Callable[[int, int], None] = lambda done, total: None,
) -> FilterReport:
    """Filter into the folder `out`, which is complete or absent.

    Relative paths of the spec start from `folder`. Interrupted, it goes on where it was when it is
    called again. The result does not depend on `workers`. Raises OutputInUse, BadSource; UsageProblem
    if `out` is something else or a part of the spec cannot be applied; with `strict` GgezError for
    what cannot be read.
    """
    require("data", "pyarrow", "PIL")
    # The work folder is beside it, and `.` has no name of its own.
    out = Path(os.path.abspath(out))  # noqa: PTH100 - links stay as they are
    plan = FilterPlan(spec, folder)
    with lock_work_folder(container(out), out):
        report = _finished(out, plan.digest) or _filtered(plan, out, workers, strict, did)
    shutil.rmtree(container(out), ignore_errors=True)
    return report


def _filtered(
    plan: FilterPlan, out: Path, workers: int, strict: bool, did: Callable[[int, int], None]
) -> FilterReport:
    work = WorkFolder.beside(out, plan.digest)
    parts = plan.parts()
    # A rule that cannot be applied is refused before a model is opened.
    combination(plan.spec.keep_region, plan.spec.region, plan.folder)
    with closing(FilterStages(plan, work)) as stages:
        for number, part in enumerate(_screened(plan, work, parts, workers)):
            if not work.is_done("kept", part.number):
                stages.run(part)
            for outcome in work.tally("kept", part.number).outcomes() if strict else ():
                if outcome.startswith(("row: ", "picture: ")):
                    hint = "Leave out --strict to count it."
                    raise GgezError(f"something cannot be read: {outcome}", hint)
            did(number + 1, len(parts))
    total = Tally()
    for part in parts:
        total.merge(work.tally("kept", part.number))
    report = make_report(plan, total, stages)
    write_output(out, plan, work, parts, report)
    return report


def _finished(out: Path, digest: str) -> FilterReport | None:
    """The report of an output that is there already; raises UsageProblem if it is another one."""
    if not out.exists():
        return None
    report = FilterReport.of_output(out)
    if report is not None and report.document["spec_digest"] == digest:
        return report
    raise UsageProblem(
        f"{out} exists, and is not the result of this spec on these sources",
        "Give another folder with -o, or remove it.",
    )


def _screened(
    plan: FilterPlan, work: WorkFolder, parts: list[PartId], workers: int
) -> Iterator[PartId]:
    """The parts in order, each when its screened or its kept table is there.

    What is held out comes first and complete: the others are compared with it as they are screened.
    """
    if workers == 1:
        with closing(Screener(plan, work)) as screener:
            for part in parts:
                if not work.is_done("kept", part.number):
                    screener.screen(part)
                yield part
        return
    with ProcessPoolExecutor(
        workers, multiprocessing.get_context("spawn"), _start, (plan.spec, plan.folder, work)
    ) as pool:
        try:
            for held_out in (True, False):
                some = [part for part in parts if part.held_out is held_out]
                yield from _screened_ahead(pool, work, some, AHEAD * workers)
        except BrokenProcessPool as error:
            raise GgezError(
                "a worker process was killed, perhaps for lack of memory",
                "Run it again with fewer --workers: what was done is kept.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _screened_ahead(
    pool: ProcessPoolExecutor, work: WorkFolder, parts: list[PartId], most: int
) -> Iterator[PartId]:
    running: dict[int, Future[None]] = {}
    ahead = iter(part for part in parts if not work.is_done("kept", part.number))
    for part in parts:
        while len(running) < most and (following := next(ahead, None)):
            running[following.number] = pool.submit(_screen, following)
        if part.number in running:
            running.pop(part.number).result()
        yield part


# The screener of a process of the pool.
_SCREENERS: list[Screener] = []


def _start(spec: FilterSpec, folder: Path, work: WorkFolder) -> None:
    """Ready a process of the pool; it ends when its parent does, even if that is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
    _SCREENERS.append(Screener(FilterPlan(spec, folder), work))


def _screen(part: PartId) -> None:
    _SCREENERS[0].screen(part)
