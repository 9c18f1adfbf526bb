"""A whole filter: every part screened and judged, then the output, whole or absent."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Any

from ggez_hub.data.models import Models, open_models
from ggez_hub.data.output import write_output
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.region_rules import combination
from ggez_hub.data.report import FilterReport, make_report
from ggez_hub.data.screener import Screener
from ggez_hub.data.spec import FilterSpec
from ggez_hub.data.stages import FilterStages
from ggez_hub.data.tally import summed
from ggez_hub.data.work_folder import WorkFolder, alone, clear
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.extras import require

# Parts that are screened ahead of the one that is judged, for each worker.
AHEAD = 2


class Strict(GgezError):
    """With --strict: something could not be read."""


class WorkerDied(GgezError):
    """A process of the pool was ended from without, mostly for its memory."""


def run_filter(
    spec: FilterSpec,
    folder: Path,
    out: Path,
    *,
    workers: int = 1,
    strict: bool = False,
    did: Callable[[int, int], None] = lambda done, total: None,
) -> FilterReport:
    """Filter into the folder `out`, which appears when it is whole.

    Relative paths of the spec start from `folder`. Interrupted, it goes on where it was when it is
    called again. The result does not depend on `workers`. Raises BadSource, BadRule, ScorerRefused;
    UsageProblem if `out` is something else; Strict with `strict`.
    """
    require("data", "pyarrow", "PIL")
    # Its work lies beside it: `.` has no name of its own.
    out = Path(os.path.abspath(out))  # noqa: PTH100 - links stay as they are
    plan = FilterPlan(spec, folder)
    with alone(out):
        report = _finished(out, plan.digest) or _filtered(plan, out, workers, strict, did)
    clear(out)
    return report


def _filtered(
    plan: FilterPlan, out: Path, workers: int, strict: bool, did: Callable[[int, int], None]
) -> FilterReport:
    work = WorkFolder.beside(out, plan.digest)
    parts = plan.parts()
    # A rule that cannot be applied is refused before a model is opened.
    combination(plan.spec.keep_region, plan.spec.region, plan.folder)
    with ExitStack() as stack:
        models = open_models(plan, work)
        judge = stack.enter_context(
            FilterStages(plan, work, models.scorer, models.evidence, models.translator)
        )
        for number, part in enumerate(_screened(plan, work, parts, workers)):
            if not work.done("kept", part.number):
                judge.judge(part)
            if strict:
                _refuse_unreadable(work, part)
            did(number + 1, len(parts))
    report = _report(plan, work, parts, models)
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


def _refuse_unreadable(work: WorkFolder, part: PartId) -> None:
    for outcome in work.tally("kept", part.number).outcomes():
        if outcome.startswith(("row: ", "picture: ")):
            raise Strict(f"something cannot be read: {outcome}", "Leave out --strict to count it.")


def _report(
    plan: FilterPlan, work: WorkFolder, parts: list[PartId], models: Models
) -> FilterReport:
    return make_report(plan, summed(work.tally("kept", p.number) for p in parts), models)


def _screened(
    plan: FilterPlan, work: WorkFolder, parts: list[PartId], workers: int
) -> Iterator[PartId]:
    """The parts in order, each when its screened or its kept table is there.

    What is held out comes first and complete: the others are compared with it as they are screened.
    """
    if workers == 1:
        with closing(Screener(plan, work)) as screener:
            for part in parts:
                if not work.done("kept", part.number):
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
            raise WorkerDied(
                "a worker was ended from without, perhaps for want of memory",
                "Run it again with fewer --workers: what was done is kept.",
            ) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _screened_ahead(
    pool: ProcessPoolExecutor, work: WorkFolder, parts: list[PartId], most: int
) -> Iterator[PartId]:
    running: dict[int, Future[int]] = {}
    ahead = iter(part for part in parts if not work.done("kept", part.number))
    for part in parts:
        while len(running) < most and (following := next(ahead, None)):
            running[following.number] = pool.submit(_screen, following)
        if part.number in running:
            running.pop(part.number).result()
        yield part


@dataclass
class _Worker:
    """What a process of the pool holds."""

    screener: Any = None


_WORKER = _Worker()


def _start(spec: FilterSpec, folder: Path, work: WorkFolder) -> None:
    """Ready a process of the pool; it ends when its parent does, even if that is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
    _WORKER.screener = Screener(FilterPlan(spec, folder), work)


def _screen(part: PartId) -> int:
    number: int = _WORKER.screener.screen(part)
    return number
