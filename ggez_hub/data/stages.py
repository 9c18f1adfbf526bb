"""The stages that need the order of rows, or a model: they run in one process, part after part."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import count, islice
from typing import Any

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.data.deduplication import DuplicateIndex, fingerprint
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.region_rules import picture_rules
from ggez_hub.data.rows import OUTPUT, Row, read_rows
from ggez_hub.data.scorer_agreement import read_agreement
from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.data.scorers.spec import open_scorer
from ggez_hub.data.spec import FilterSpec, LanguageRule
from ggez_hub.data.tally import CROWDED, KEPT, TRANSLATED, Tally
from ggez_hub.data.translation import Augmenter
from ggez_hub.data.work_folder import WorkFolder
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once

# How many rows a model gets at once; it cuts them into batches of its own.
AT_ONCE = 256
# Rows of a part are numbered below this.
PART = 1 << 40
COMPARISONS = {">": operator.gt, ">=": operator.ge}


class FilterStages:
    """Turns screened tables into kept ones; opens the models that the spec asks for.

    `agreement` is that of the scorer with people, or `unmeasured`. Raises UsageProblem for a scorer
    that may not be used, GgezError for a model that cannot be opened.
    """

    def __init__(self, plan: FilterPlan, work: WorkFolder) -> None:
        self._plan, self._work = plan, work
        spec = plan.spec
        self.scorer, self.agreement = _scorer(plan)
        self._picture_rules = picture_rules(spec, plan.folder)
        self.translator: Augmenter | None = None
        if spec.translation != "none":
            self.translator = Augmenter.of(spec.translation, plan.folder, work.translations)
        self._held: HeldOutMatcher | None = None
        if spec.held_out is not None:
            self._held = HeldOutMatcher(work.index("held"), spec.held_out.similarity)
        self._seen: DuplicateIndex | None = None
        if spec.duplicates != "keep":
            self._seen = DuplicateIndex(work.index("seen"), spec.duplicates)
        self._scores = AnswerCache(work.index("scores"))

    def close(self) -> None:
        for file in (self._held, self._seen):
            if file is not None:
                file.close()

    def run(self, part: PartId) -> None:
        """Write the kept table of a part whose screened table is there."""
        if not self._plan.needs_stages:
            self._work.keep_all(part.number)
            return
        tally = self._work.tally("screened", part.number)
        self._work.write("kept", part.number, OUTPUT, self._kept(part, tally), tally)
        self._work.table("screened", part.number).unlink(missing_ok=True)

    def _kept(self, part: PartId, tally: Tally) -> Iterator[Row]:
        rows = read_rows(self._work.table("screened", part.number))
        if self._held is not None and part.held_out:
            # Nothing of it is a row of the output.
            for number, row in enumerate(rows):
                self._held.add(row, part.number * PART + number)
            self._held.commit()
        else:
            yield from self._through(rows, part, tally)
        if self._seen is not None:
            self._seen.commit()
            tally.extra[CROWDED] += self._seen.crowded
            self._seen.crowded = 0

    def _through(self, rows: Iterator[Row], part: PartId, tally: Tally) -> Iterator[Row]:
        if self._picture_rules:
            rows = self._decided(rows, tally)
        # Whatever is compared has a number, in the order in which that happens.
        ordinals = count(part.number * PART)
        rows = self._new(rows, ordinals, tally)
        if self.scorer is not None:
            rows = self._rewarded(rows, part, self.scorer, tally)
        for chunk in chunks(rows):
            for row in chunk:
                tally.add(row, KEPT)
                yield row
            if self.translator is not None:
                yield from self._added(self.translator, chunk, ordinals, tally)

    def _decided(self, rows: Iterable[Row], tally: Tally) -> Iterator[Row]:
        spec = self._plan.spec.keep_region
        for chunk in chunks(rows):
            open_rows = [row for row in chunk if row.is_open]
            for rule in self._picture_rules:
                for row, holds in zip(open_rows, rule.verdicts(open_rows, tally), strict=True):
                    row.rules_held += holds
            for row in chunk:
                if row.is_open and row.rules_held < spec.needed:
                    reason = f"fewer than {spec.needed} of {len(spec.rules)} rules hold"
                    tally.add(row, f"region: {reason}")
                else:
                    yield row

    def _new(self, rows: Iterable[Row], ordinals: Iterator[int], tally: Tally) -> Iterator[Row]:
        """Rows that are neither held out nor seen before."""
        for row in rows:
            ordinal = next(ordinals)
            if row.leak is not None:
                source = row.leak.partition("/")[0]
                tally.add(row, f"held out: {source}, {row.leak_kind}", f"like {row.leak}")
                continue
            if self._seen is not None:
                if match := self._seen.match(row, ordinal):
                    name, is_exact = match
                    kind = "exact" if is_exact else "near"
                    tally.add(row, f"duplicate: {kind}", f"like {name}")
                    continue
                self._seen.add(row, ordinal)
            yield row

    def _added(
        self, translator: Augmenter, rows: list[Row], ordinals: Iterator[int], tally: Tally
    ) -> Iterator[Row]:
        """Translations of rows, compared with all before them but for their pictures."""
        rule = self._plan.spec.duplicates
        for row in translator.translated(rows, tally):
            outcome = "taken"
            text = ExampleText.of(row.messages)
            if self._held is not None and self._held.match_text(text, pictured=bool(row.image)):
                outcome = "held out"
            elif self._seen is not None and rule != "keep" and rule.by != "picture":
                sha256 = hashlib.sha256(row.image["bytes"]).digest() if row.image else None
                row.key, row.minhash = fingerprint(rule, sha256, row.text)
                ordinal = next(ordinals)
                if self._seen.match(row, ordinal):
                    outcome = "duplicate"
                else:
                    self._seen.add(row, ordinal)
            tally.extra[f"translation {row.language}: {outcome}"] += 1
            if outcome == "taken":
                tally.add(row, TRANSLATED)
                yield row

    def _rewarded(
        self, rows: Iterable[Row], part: PartId, scorer: Scorer, tally: Tally
    ) -> Iterator[Row]:
        spec = self._plan.spec.reward
        assert spec != "none"  # noqa: S101 - there is no scorer otherwise
        is_above = COMPARISONS[spec.comparison]

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
            key = f"{part.number}/{number}"
            found = answer_once({key: chunk}, self._scores, lambda asked: map(scorer.score, asked))
            for row, score in zip(chunk, found[key], strict=True):
                if score is None:
                    tally.add(row, "reward: the scorer gave no score")
                elif is_above(score, spec.threshold):
                    yield replace(row, reward=score)
                else:
                    tally.add(row, f"reward: not {spec.comparison} {spec.threshold:g}")


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists of at most AT_ONCE."""
    source = iter(rows)
    while chunk := list(islice(source, AT_ONCE)):
        yield chunk


def _scorer(plan: FilterPlan) -> tuple[Scorer | None, dict[str, Any] | str]:
    spec = plan.spec
    if spec.reward == "none":
        return None, "unmeasured"
    scorer = open_scorer(
        spec.reward.scorer, plan.folder, trained=spec.base, texts=languages_kept(spec)
    )
    if spec.reward.agreement is None:
        return scorer, "unmeasured"
    measured = read_agreement(plan.folder / spec.reward.agreement)
    if measured["scorer"] != scorer.name:
        raise UsageProblem(
            f"the agreement in {spec.reward.agreement} is of {measured['scorer']}, not of "
            f"{scorer.name}",
            "Measure this scorer: `ggez-hub reward agreement`.",
        )
    return scorer, {key: measured[key] for key in ("agreement", "low", "high", "n", "ties")}


def languages_kept(spec: FilterSpec) -> frozenset[str] | None:
    """The languages that a text must have to be kept; None where others may pass too."""
    rules = spec.keep_region.rules
    if spec.keep_region.needed < len(rules):
        return None
    found = [frozenset(rule.languages) for rule in rules if isinstance(rule, LanguageRule)]
    return frozenset.intersection(*found) if found else None
