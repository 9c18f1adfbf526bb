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

import hashlib
import operator
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import islice
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.atomic_files import atomic_file
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.data.deduplication import Signature, fingerprint
from ggez_hub.data.duplicate_search import ADDED, PART, DuplicateSearch, Numbers
from ggez_hub.data.filter_models import FilterModels
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.rows import OUTPUT, SCREENED, Row, read_columns, read_rows
from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.data.screener import Screener
from ggez_hub.data.spec import FilterSpec
from ggez_hub.data.tally import KEPT, TRANSLATED, Tally
from ggez_hub.data.translation import Augmenter
from ggez_hub.data.work_folder import Stage, WorkFolder, read_tally, write_tally
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once

# How many rows a model gets at once; it cuts them into batches of its own.
AT_ONCE = 256
COMPARISONS = {">": operator.gt, ">=": operator.ge}


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
            self.work.write("kept", part, schema, self._kept(part, tally), tally)

    def _kept(self, part: int, tally: Tally) -> Iterator[Row]:
        rows = self._new(part, tally)
        if self.models.scorer is not None:
            rows = self._rewarded(rows, part, self.models.scorer, tally)
        translator = self.models.translator
        if translator is not None:
            translator = replace(translator, cache=AnswerCache(self.work.translations(part)))
        for chunk in chunks(rows):
            for row in chunk:
                tally.add(row, KEPT)
                yield row
            if translator is not None:
                yield from self._added(translator, chunk, tally)

    def _passed(self, part: int) -> NDArray[np.bool_] | None:
        return np.load(self.work.decided(part)) if self.job.spec.picture_rules else None

    def _new(self, part: int, tally: Tally) -> Iterator[Row]:
        """Rows that pass the rules on pictures, are not held out and repeat no earlier one."""
        spec = self.job.spec
        passed = self._passed(part)
        if passed is not None:
            tally.merge(read_tally(self.work.decided(part)))
        matches = self.search(added=False).matches(part * PART) if spec.duplicates != "keep" else {}
        for place, row in enumerate(read_rows(self.work.table("screened", part))):
            if passed is not None and not passed[place]:
                region = spec.keep_region
                reason = f"fewer than {region.needed} of {len(region.rules)} rules hold"
                tally.add(row, f"region: {reason}")
            elif row.leak is not None:
                source = row.leak.partition("/")[0]
                tally.add(row, f"held out: {source}, {row.leak_kind}", f"like {row.leak}")
            elif match := matches.get(place):
                kind = "exact" if match.is_exact else "near"
                tally.add(row, f"duplicate: {kind}", f"like {match.id}")
            else:
                yield row

    def _rewarded(
        self, rows: Iterable[Row], part: int, scorer: Scorer, tally: Tally
    ) -> Iterator[Row]:
        spec = self.job.spec.reward
        assert spec != "none"  # noqa: S101 - there is no scorer otherwise
        is_above = COMPARISONS[spec.comparison]
        known = AnswerCache(self.work.scores(part))

        def spoken() -> Iterator[Row]:
            for row in rows:
                if row.language.partition("-")[0] in scorer.languages:
                    yield row
                elif row.language == UNKNOWN:
                    tally.add(row, "reward: the language is unknown")
                else:
                    tally.add(row, f"reward: the scorer is not made for {row.language}")

        for number, chunk in enumerate(chunks(spoken())):
            # By chunk, not by row: a model may score a row otherwise in another batch, and the
            # chunks of a part are always the same.
            found = answer_once({str(number): chunk}, known, lambda asked: map(scorer.score, asked))
            for row, score in zip(chunk, found[str(number)], strict=True):
                if score is None:
                    tally.add(row, "reward: the scorer gave no score")
                elif is_above(score, spec.threshold):
                    yield replace(row, reward=score)
                else:
                    tally.add(row, f"reward: not {spec.comparison} {spec.threshold:g}")

    def _added(self, translator: Augmenter, rows: list[Row], tally: Tally) -> Iterator[Row]:
        """Translations of rows that are not held out."""
        rule = self.job.spec.duplicates
        for row in translator.translated(rows, tally):
            text = ExampleText.of(row.messages)
            if self.held_out is not None and self.held_out.match_text(
                text, pictured=bool(row.image)
            ):
                tally.extra[f"translation {row.language}: held out"] += 1
            elif rule != "keep" and self.plan.compares_translations:
                sha256 = hashlib.sha256(row.image["bytes"]).digest() if row.image else None
                row.key, row.minhash = fingerprint(rule, sha256, row.text)
                yield row
            else:
                _take(row, tally)
                yield row

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
                _take(row, tally)
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


def _take(row: Row, tally: Tally) -> None:
    tally.extra[f"translation {row.language}: taken"] += 1
    tally.add(row, TRANSLATED)


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists of at most AT_ONCE."""
    source = iter(rows)
    while chunk := list(islice(source, AT_ONCE)):
        yield chunk
