"""The stages that need the order, or a model: they run in one process, part after part."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from itertools import count, islice
from typing import TYPE_CHECKING, Self

from ggez_hub.data.deduplication import DuplicateIndex, fingerprint
from ggez_hub.data.examples import UNKNOWN
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.models import Models
from ggez_hub.data.plan import FilterPlan, PartId
from ggez_hub.data.rows import OUTPUT, Row, read_rows
from ggez_hub.data.scorers.spec import Scorer
from ggez_hub.data.tally import CROWDED, KEPT, TRANSLATED, Tally
from ggez_hub.data.work_folder import WorkFolder
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once

if TYPE_CHECKING:
    from ggez_hub.data.augmentation import Augmenter
    from ggez_hub.data.picture_rule import PictureRules

# How many rows a model gets at once; it cuts them into batches of its own.
AT_ONCE = 256
# Rows of a part are numbered below this.
PART = 1 << 40
COMPARISONS = {">": operator.gt, ">=": operator.ge}


class FilterStages:
    """Turns screened tables into kept ones; a context manager, which holds the files of its work."""

    def __init__(self, plan: FilterPlan, work: WorkFolder, models: Models) -> None:
        self._plan, self._work, self._models = plan, work, models
        self._held: HeldOutMatcher | None = None
        self._seen: DuplicateIndex | None = None
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        spec, enter = self._plan.spec, self._stack.enter_context
        if spec.held_out is not None:
            path = self._work.index("held")
            self._held = enter(HeldOutMatcher(path, spec.held_out.similarity))
        if spec.duplicates != "keep":
            self._seen = enter(closing(DuplicateIndex(self._work.index("seen"), spec.duplicates)))
        self._scores = enter(closing(AnswerCache(self._work.index("scores"))))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

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
        if self._models.picture_rules is not None:
            rows = self._decided(rows, self._models.picture_rules, tally)
        # Whatever is compared has a number, in the order in which that happens.
        ordinals = count(part.number * PART)
        rows = self._new(rows, ordinals, tally)
        if self._models.scorer is not None:
            rows = self._rewarded(rows, part, self._models.scorer, tally)
        for chunk in chunks(rows):
            for row in chunk:
                tally.add(row, KEPT)
                yield row
            if self._models.translator is not None:
                yield from self._added(self._models.translator, chunk, ordinals, tally)

    def _decided(
        self, rows: Iterable[Row], picture_rules: PictureRules, tally: Tally
    ) -> Iterator[Row]:
        spec = self._plan.spec.keep_region
        for chunk in chunks(rows):
            held = iter(picture_rules.held([row for row in chunk if row.is_open], tally))
            for row in chunk:
                if row.is_open and row.rules_held + next(held) < spec.needed:
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
                    kind = "exact" if match.exact else "near"
                    tally.add(row, f"duplicate: {kind}", f"like {match.name}")
                    continue
                self._seen.add(row, ordinal)
            yield row

    def _added(
        self, translator: Augmenter, rows: list[Row], ordinals: Iterator[int], tally: Tally
    ) -> Iterator[Row]:
        """Translations of rows: held to the same as what was seen, but for their picture.

        A translation has the picture of its original, which has passed.
        """
        rule = self._plan.spec.duplicates
        for row in translator.translated(rows, tally):
            outcome = "taken"
            text = ExampleText.of(row.messages)
            if self._held is not None and self._held.match_text(text, pictured=bool(row.image)):
                outcome = "held out"
            elif self._seen is not None and rule != "keep" and rule.by != "picture":
                sha256 = hashlib.sha256(row.image["bytes"]).digest() if row.image else None
                row.key, _, row.minhash = fingerprint(rule, sha256, row.phash, row.text)
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
            scores = self._scored(scorer, f"{part.number}/{number}", chunk)
            for row, score in zip(chunk, scores, strict=True):
                if score is None:
                    tally.add(row, "reward: the scorer gave no score")
                elif is_above(score, spec.threshold):
                    yield replace(row, reward=score)
                else:
                    tally.add(row, f"reward: not {spec.comparison} {spec.threshold:g}")

    def _scored(self, scorer: Scorer, key: str, chunk: list[Row]) -> list[float | None]:
        """Scores are kept by chunk: a model may score a row otherwise in another batch.

        The chunks of a part are always the same.
        """
        found = answer_once(
            {key: chunk}, self._scores, lambda chunks: [scorer.score(rows) for rows in chunks]
        )
        return list(found[key])


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists of at most AT_ONCE."""
    source = iter(rows)
    while chunk := list(islice(source, AT_ONCE)):
        yield chunk
