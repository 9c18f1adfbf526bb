"""A filter from sources to output: its stages one after the other, each as tasks."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeAlias

from ggez_hub.atomic_files import atomic_folder, partial_of
from ggez_hub.data.croissant import write_croissant
from ggez_hub.data.filter_models import ModelNames
from ggez_hub.data.local_inputs import with_absolute_paths
from ggez_hub.data.output import Shards
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.region_rules import combination
from ggez_hub.data.report import DUPLICATES_FILE, FilterReport, make_report
from ggez_hub.data.report_pages import draw, markdown
from ggez_hub.data.rows import OUTPUT
from ggez_hub.data.spec import FilterSpec
from ggez_hub.data.stages import FilterJob, FilterStages, Step, closing_stages, run_step, run_steps
from ggez_hub.data.tally import CROWDED, KEPT, TRANSLATED, UNLIKE, Tally
from ggez_hub.data.work_folder import Stage, WorkFolder, container
from ggez_hub.errors import UsageProblem
from ggez_hub.execution import THIS_PROCESS, Engine, Executor, SharedFolder, run_tasks
from ggez_hub.extras import require
from ggez_hub.output_lock import lock_work_folder

# Called with how many tasks are done, of how many, and what they do.
Progress: TypeAlias = Callable[[int, int, str], None]


def run_filter(
    spec: FilterSpec,
    folder: Path,
    out: Path,
    *,
    engine: Engine = THIS_PROCESS,
    shards: int | None = None,
    strict: bool = False,
    did: Progress = lambda done, total, what: None,
) -> FilterReport:
    """Filter into the folder `out`, which is complete or absent.

    Relative paths of the spec start from `folder`. Each stage is `shards` tasks, or one for each part
    of the sources. Interrupted, it goes on where it was when it is called again. The result does not
    depend on `engine` and `shards`. Machines of a cluster have to see both folders.

    Raises OutputInUse, BadSource; UsageProblem if `out` is something else or a part of the spec cannot
    be applied; with `strict` GgezError for what cannot be read; what `Executor.run` raises.
    """
    require("data", "pyarrow", "PIL")
    # The work folder is beside it, and `.` has no name of its own.
    out = Path(os.path.abspath(out))  # noqa: PTH100 - links stay as they are
    plan = FilterPlan(spec, folder)
    with lock_work_folder(container(out), out):
        report = _finished(out, plan.digest)
        if report is None:
            # A rule that cannot be applied is refused before a model is opened.
            combination(spec.keep_region, spec.region, folder)
            # Other machines have them elsewhere.
            here: tuple[FilterSpec, tuple[Path, ...]] = (spec, ())
            asked, inputs = with_absolute_paths(spec, folder) if engine.kind == "jobs" else here
            job = FilterJob(asked, folder.absolute(), WorkFolder.beside(out, plan.digest), strict)
            shared = [SharedFolder(each) for each in (container(out), partial_of(out))]
            with engine.open(shared, inputs) as executor, closing_stages():
                report = _Run(plan, job, executor, shards, did).report(out)
    shutil.rmtree(container(out), ignore_errors=True)
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


@dataclass(frozen=True)
class _Run:
    plan: FilterPlan
    job: FilterJob
    executor: Executor
    shards: int | None
    did: Progress

    def report(self, out: Path) -> FilterReport:
        """Run all stages, and write the output."""
        plan, spec, held_out = self.plan, self.plan.spec, self.plan.held_out_parts
        count = len(plan.parts) - held_out
        if spec.models:
            self.each(
                "opening", partial(run_step, self.job, FilterStages.open_models), 1, model=True
            )
        if spec.held_out is not None:
            self.parts("holding out", FilterStages.hold_out, 0, held_out)
            self.each("entering", partial(run_step, self.job, FilterStages.enter_held_out), 1)
        self.parts("screening", FilterStages.screen, held_out, count)
        last: Stage = "screened"
        if plan.needs_stages:
            if spec.picture_rules:
                self.parts("deciding", FilterStages.decide, held_out, count, model=True)
            if spec.duplicates != "keep":
                self.search(FilterStages.write_keys, FilterStages.match, added=False)
            self.parts("keeping", FilterStages.keep, held_out, count, model=True)
            last = "kept"
        if plan.compares_translations:
            self.search(FilterStages.write_added_keys, FilterStages.match_added, added=True)
            self.parts("finishing", FilterStages.finish, held_out, count)
            last = "finished"
        return self.write(out, last)

    def search(self, write_keys: Step, match: Step, *, added: bool) -> None:
        """Find the duplicates of all parts."""
        first = self.plan.held_out_parts
        search = FilterStages(self.job).search(added=added)
        what = "translations" if added else "duplicates"
        self.parts(f"keys of {what}", write_keys, first, len(self.plan.parts) - first)
        ranges = search.ranges()
        self.each(f"links of {what}", partial(search.link, ranges), ranges)
        self.each(f"groups of {what}", search.group, 1)
        self.each(f"matches of {what}", partial(run_step, self.job, match), search.bins())

    def parts(self, what: str, step: Step, first: int, count: int, *, model: bool = False) -> None:
        """Run a stage over parts, some of them in each task."""
        tasks = min(self.shards or count, count)
        self.each(what, partial(run_steps, self.job, step, first, count, tasks), tasks, model=model)

    def each(
        self, what: str, task: Callable[[int], None], count: int, *, model: bool = False
    ) -> None:
        done = 0

        def did() -> None:
            nonlocal done
            done += 1
            self.did(done, count, what)

        device = self.plan.device if model else ""
        markers = self.job.work.markers(what, count)
        run_tasks(self.executor, task, count, markers, device=device, did=did)

    def write(self, out: Path, last: Stage) -> FilterReport:
        """Write `out`, complete or not at all.

        data/train-XXXXX-of-XXXXX.parquet, which `datasets` loads; duplicates.parquet; report.json;
        data_filter.json, the block of the adapter card; croissant.json; README.md, report.png and
        report.svg.
        """
        work, total = self.job.work, Tally()
        tables, counts = [], []
        for part in self.plan.parts:
            tally = work.tally("screened" if part.held_out else last, part.number)
            total.merge(tally)
            if not part.held_out:
                outcomes = tally.outcomes()
                tables.append(work.table(last, part.number))
                counts.append(outcomes[KEPT] + outcomes[TRANSLATED])
        stages = FilterStages(self.job)
        search = None if self.plan.spec.duplicates == "keep" else stages.search(added=False)
        if search is not None:
            total.extra[CROWDED] += search.crowded()
            total.extra[UNLIKE] += search.unlike()
        if self.plan.compares_translations:
            total.extra[CROWDED] += stages.search(added=True).crowded()
        report = make_report(self.plan, total, ModelNames.read(work.models))
        with atomic_folder(out) as partial_out:
            (partial_out / "data").mkdir()
            shards = Shards(partial_out / "data", tables, counts, self.plan.spec.rows_per_shard)
            # What a killed run wrote here is gone.
            shutil.rmtree(work.markers("writing", len(shards)), ignore_errors=True)
            self.each("writing", shards.write, len(shards))
            if search is not None:
                search.write_dropped(partial_out / DUPLICATES_FILE)
            report.write(partial_out)
            (partial_out / "README.md").write_text(markdown(report.document), encoding="utf-8")
            draw(report.document, partial_out / "report")
            write_croissant(partial_out, report.document, OUTPUT)
        return report
