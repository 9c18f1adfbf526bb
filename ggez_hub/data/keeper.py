"""What stays of a screened part: rows that repeat nothing and are good enough, and translations."""

from __future__ import annotations

import hashlib
import operator
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ggez_hub.cards.values import UNKNOWN
from ggez_hub.data.deduplication import fingerprint
from ggez_hub.data.duplicate_search import Match
from ggez_hub.data.filter_models import FilterModels
from ggez_hub.data.held_out.matcher import ExampleText, HeldOutMatcher
from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.rows import Row, read_rows
from ggez_hub.data.scorers.scorer import Scorer
from ggez_hub.data.tally import KEPT, TRANSLATED, Tally
from ggez_hub.data.translation import Augmenter
from ggez_hub.data.work_folder import WorkFolder
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once

# How many rows a model gets at once; it cuts them into batches of its own.
AT_ONCE = 256
COMPARISONS = {">": operator.gt, ">=": operator.ge}


@dataclass(frozen=True)
class Keeper:
    """Turns screened parts into kept ones; `held_out` is what translations are compared with."""

    plan: FilterPlan
    models: FilterModels
    held_out: HeldOutMatcher | None
    work: WorkFolder

    def rows(
        self,
        part: int,
        passed: NDArray[np.bool_] | None,
        matches: Mapping[int, Match],
        tally: Tally,
    ) -> Iterator[Row]:
        """The rows of a part that stay, each few followed by their translations.

        `passed` is which rows the rules on pictures let through, `matches` which repeat another one.
        """
        rows = self._new(part, passed, matches, tally)
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

    def _new(
        self,
        part: int,
        passed: NDArray[np.bool_] | None,
        matches: Mapping[int, Match],
        tally: Tally,
    ) -> Iterator[Row]:
        """Rows that pass the rules on pictures, are not held out and repeat no earlier one."""
        for place, row in enumerate(read_rows(self.work.table("screened", part))):
            if passed is not None and not passed[place]:
                region = self.plan.spec.keep_region
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
        spec = self.plan.spec.reward
        assert spec != "none"  # noqa: S101 - only a reward has a scorer
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
        rule = self.plan.spec.duplicates
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
                take(row, tally)
                yield row


def take(row: Row, tally: Tally) -> None:
    """Count a translation that is taken."""
    tally.extra[f"translation {row.language}: taken"] += 1
    tally.add(row, TRANSLATED)


def chunks(rows: Iterable[Row]) -> Iterator[list[Row]]:
    """Rows in lists of at most AT_ONCE."""
    source = iter(rows)
    while chunk := list(islice(source, AT_ONCE)):
        yield chunk
