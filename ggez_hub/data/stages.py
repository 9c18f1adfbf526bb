"""The stages of a filter, as what their tasks do: each with a part, from files to files.

opening       the models that the spec names                        one task
holding out   what is held out is read, and entered into a file     parts, then one task
screening     the rules that look at one example alone              parts
deciding      the rules on pictures                                 parts
keys, links, groups, matches   duplicates (`duplicate_search`)
keeping       reward and translation                                parts
(the same again for translations)
finishing     translations that repeat nothing                      parts
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.atomic_files import atomic_file
from ggez_hub.data.deduplication import Signature
from ggez_hub.data.duplicate_groups import PART, Numbers
from ggez_hub.data.duplicate_search import ADDED, DuplicateSearch
from ggez_hub.data.filter_models import FilterModels
from ggez_hub.data.held_out.matcher import HeldOutMatcher
from ggez_hub.data.keeper import Keeper, chunks, take
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.rows import OUTPUT, SCREENED, Row, read_columns, read_rows
from ggez_hub.data.screener import Screener
from ggez_hub.data.spec import FilterSpec
from ggez_hub.data.tally import Tally
from ggez_hub.data.work_folder import Stage, WorkFolder, read_tally, write_tally
from ggez_hub.errors import GgezError


@dataclass(frozen=True)
class FilterJob:
    """A filter as its tasks get it: a spec, the folder of its relative paths, and that of its work."""

    spec: FilterSpec
    folder: Path
    work: WorkFolder
    strict: bool = False


class FilterStages:
    """The stages in one process, with what is opened for them."""

    def __init__(self, job: FilterJob) -> None:
        self.job, self.work = job, job.work
        self.plan = FilterPlan(job.spec, job.folder)
        self.models = FilterModels(self.plan)

    def close(self) -> None:
        if "held_out" in self.__dict__ and self.held_out is not None:
            self.held_out.close()

    @cached_property
    def held_out(self) -> HeldOutMatcher | None:
        """What is held out, once all of it is entered; None where nothing is."""
        asked = self.job.spec.held_out
        if asked is None:
            return None
        return HeldOutMatcher(self.work.held_out, asked.similarity, read_only=True)

    @cached_property
    def _screener(self) -> Screener:
        return Screener(self.plan, self.held_out)

    def open_models(self, _: int) -> None:
        self.models.names().write(self.work.models)

    def hold_out(self, part: int) -> None:
        """Write the table of a part that is held out."""
        if not self.work.is_done("screened", part):
            tally = Tally()
            rows = Screener(self.plan, None).held_out_rows(self.plan.parts[part], tally)
            self.work.write("screened", part, SCREENED, rows, tally)

    def enter_held_out(self, _: int) -> None:
        """Write the file that examples are compared with."""
        asked = self.job.spec.held_out
        assert asked is not None  # noqa: S101 - there is no such task otherwise
        with (
            atomic_file(self.work.held_out, durable=False) as unfinished,
            HeldOutMatcher(unfinished, asked.similarity) as held,
        ):
            for part in range(self.plan.held_out_parts):
                for place, row in enumerate(read_rows(self.work.table("screened", part))):
                    held.add(row, part * PART + place)

    def screen(self, part: int) -> None:
        """Write the screened table of a part; raises GgezError for what cannot be read, if asked."""
        if not self.work.is_done("screened", part):
            tally = Tally()
            schema = SCREENED if self.plan.needs_stages else OUTPUT
            rows = self._screener.rows(self.plan.parts[part], tally)
            self.work.write("screened", part, schema, rows, tally)
        if self.job.strict:
            for outcome in self.work.tally("screened", part).outcomes():
                if outcome.startswith(("row: ", "picture: ")):
                    hint = "Leave out --strict to count it."
                    raise GgezError(f"something cannot be read: {outcome}", hint)

    def decide(self, part: int) -> None:
        """Write which rows of a part the rules on pictures let through, as one bool for each."""
        if self.work.is_done("kept", part):
            return
        spec, tally = self.job.spec.keep_region, Tally()
        passed: list[bool] = []
        for chunk in chunks(read_rows(self.work.table("screened", part))):
            open_rows = [row for row in chunk if row.is_open]
            for rule in self.models.picture_rules:
                for row, holds in zip(open_rows, rule.verdicts(open_rows, tally), strict=True):
                    row.rules_held += holds
            passed += [not row.is_open or row.rules_held >= spec.needed for row in chunk]
        with atomic_file(self.work.decided(part), durable=False) as unfinished:
            with unfinished.open("wb") as file:
                np.save(file, np.array(passed, bool))
            write_tally(self.work.decided(part), tally)

    def search(self, *, added: bool) -> DuplicateSearch:
        """The search for duplicates among screened rows, or for translations that repeat one."""
        rule = self.job.spec.duplicates
        assert rule != "keep"  # noqa: S101 - there is no search otherwise
        return DuplicateSearch(self.work.folder / ("translations" if added else "duplicates"), rule)

    def write_keys(self, part: int) -> None:
        """Write the keys of the screened rows of a part that are not dropped yet."""
        if self.work.is_done("kept", part):
            return
        passed = self._passed(part)
        columns = read_columns(self.work.table("screened", part), (*Signature._fields, "leak"))
        rows = (
            (part * PART + place, Signature(*values))
            for place, (*values, leak) in enumerate(columns)
            if leak is None and (passed is None or passed[place])
        )
        self.search(added=False).write_keys(part, rows)

    def write_added_keys(self, part: int) -> None:
        """Write the keys of the kept rows of a part, and of their translations."""
        if self.work.is_done("finished", part):
            return
        names = (*Signature._fields, "translated_from")
        rows = (
            (part * PART + place + (ADDED if added else 0), Signature(*values))
            for place, (*values, added) in enumerate(
                read_columns(self.work.table("kept", part), names)
            )
        )
        self.search(added=True).write_keys(part, rows)

    def match(self, number: int) -> None:
        self.search(added=False).match(number, partial(self._signatures, "screened"))

    def match_added(self, number: int) -> None:
        self.search(added=True).match(number, partial(self._signatures, "kept"))

    def _signatures(self, stage: Stage, ordinals: Numbers) -> Iterator[Signature]:
        for run in np.split(ordinals, np.flatnonzero(np.diff(ordinals // PART)) + 1):
            part, places = int(run[0] % ADDED // PART), run % PART
            for values in read_columns(self.work.table(stage, part), Signature._fields, places):
                yield Signature(*values)

    def keep(self, part: int) -> None:
        """Write what stays of a screened part, with translations."""
        if not self.work.is_done("kept", part):
            tally = self.work.tally("screened", part)
            schema = SCREENED if self.plan.compares_translations else OUTPUT
            spec, passed = self.job.spec, self._passed(part)
            if passed is not None:
                tally.merge(read_tally(self.work.decided(part)))
            matches = (
                {} if spec.duplicates == "keep" else self.search(added=False).matches(part * PART)
            )
            held_out = None if spec.translation == "none" else self.held_out
            keeper = Keeper(self.plan, self.models, held_out, self.work)
            rows = keeper.rows(part, passed, matches, tally)
            self.work.write("kept", part, schema, rows, tally)

    def _passed(self, part: int) -> NDArray[np.bool_] | None:
        return np.load(self.work.decided(part)) if self.job.spec.picture_rules else None

    def finish(self, part: int) -> None:
        """Write the kept rows without translations that repeat a kept row or an earlier translation."""
        if not self.work.is_done("finished", part):
            tally = self.work.tally("kept", part)
            self.work.write("finished", part, OUTPUT, self._finished(part, tally), tally)

    def _finished(self, part: int, tally: Tally) -> Iterator[Row]:
        matches = self.search(added=True).matches(ADDED + part * PART)
        for place, row in enumerate(read_rows(self.work.table("kept", part))):
            if place in matches:
                tally.extra[f"translation {row.language}: duplicate"] += 1
                continue
            if row.translated_from is not None:
                take(row, tally)
            yield row


# A stage, for a part or another number.
Step: TypeAlias = Callable[[FilterStages, int], None]
# The stages that are open in this process, if any.
_OPEN: list[FilterStages] = []


def run_steps(job: FilterJob, step: Step, first: int, parts: int, tasks: int, number: int) -> None:
    """Run a stage over the parts of one of some tasks, as `run_step` does."""
    for part in range(first + parts * number // tasks, first + parts * (number + 1) // tasks):
        run_step(job, step, part)


def run_step(job: FilterJob, step: Step, number: int) -> None:
    """Run a stage with one number; what it opens stays open."""
    if not _OPEN or _OPEN[0].job != job:
        _close()
        _OPEN.append(FilterStages(job))
    step(_OPEN[0], number)


@contextmanager
def closing_stages() -> Iterator[None]:
    """Close what tasks open in this process."""
    try:
        yield
    finally:
        _close()


def _close() -> None:
    while _OPEN:
        _OPEN.pop().close()
