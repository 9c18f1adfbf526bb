"""The scores of options that are recorded with answers: what has to follow from them.

Which option is right is not recorded, but it is the same at every beta: an answer follows if there is
a right option (or several, where guessing gets more) for which every rank and every answer is what
the scores give, ties lost. So neither a rank nor an answer nor a score can be changed at one beta alone.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from ggez_hub.evaluation.answers.outcomes import UNPARSED, Cell, Outcomes

# A letter that a server does not list among the likeliest tokens has the score minus infinity.
BY_LETTER = "_by_letter"
# What was recorded of more options than this has no scores (see questions.FEW_OPTIONS).
MAX_SCORED = 8
# Scores of one text differ by rounding alone.
NEAR = 1e-3
NONE = -1


def impossible_scores(outcomes: Outcomes, metric: str | None = None) -> list[str]:
    """Scores that are not numbers; each names its item."""
    unlisted = metric is None or metric.endswith(BY_LETTER)
    found = []
    for item, scores in zip(outcomes.items, outcomes.recorded("log_likelihoods"), strict=True):
        for score in scores or ():
            if not (math.isfinite(score) or (unlisted and score == -math.inf)):
                found.append(f"the score of an option of {item!r} is {score}")
                break
    return found


def numbers_of_options(outcomes: Outcomes) -> list[int | None]:
    """How many options have a score (n); None where none are recorded."""
    return [
        None if scores is None else len(scores) for scores in outcomes.recorded("log_likelihoods")
    ]


def unfounded_answers(cells: Mapping[Cell, Outcomes], metric: str | None = None) -> list[str]:
    """Answers to the questions of one task and split, at every beta, that no right option explains."""
    lettered = metric is not None and metric.endswith(BY_LETTER)
    groups: dict[tuple[int, int], dict[str, None]] = {}
    for outcomes in cells.values():
        for item, k, chance in zip(
            outcomes.items, numbers_of_options(outcomes), outcomes.chance.tolist(), strict=True
        ):
            if k and k <= MAX_SCORED and math.isfinite(chance):
                groups.setdefault((k, round(chance * k)), {})[item] = None
    return [
        problem
        for (k, r), items in groups.items()
        if 0 < r < k
        for problem in _Table.of(cells, list(items), k, lettered=lettered).problems(r)
    ]


@dataclass(frozen=True, eq=False)
class _Table:
    """Answers to n questions with k options at B betas.

    known   (B, n) whether scores and answer are there; the rest is undefined where not
    scores  (B, n, k)
    rank    (B, n)
    given   (B, n) the number of the answer's text; gold (B, n) that of the right answer's
    lettered  whether the scores are of letters: then one text twice has two scores
    """

    cells: tuple[Cell, ...]
    items: list[str]
    known: NDArray[np.bool_]
    scores: NDArray[np.float64]
    rank: NDArray[np.int64]
    given: NDArray[np.int64]
    gold: NDArray[np.int64]
    lettered: bool

    @classmethod
    def of(
        cls, cells: Mapping[Cell, Outcomes], items: list[str], k: int, *, lettered: bool
    ) -> _Table:
        shape = (len(cells), len(items))
        known, scores = np.zeros(shape, np.bool_), np.zeros((*shape, k))
        rank, given, gold = (np.zeros(shape, np.int64) for _ in range(3))
        number: dict[str, int] = {}
        for b, outcomes in enumerate(cells.values()):
            recorded = outcomes.recorded("log_likelihoods")
            rows = {item: row for row, item in enumerate(outcomes.items)}
            for i, item in enumerate(items):
                row = rows.get(item)
                own = None if row is None else recorded[row]
                if row is None or own is None or len(own) != k or np.isnan(own).any():
                    continue
                if outcomes.predicted[row] == UNPARSED:
                    continue
                known[b, i], scores[b, i], rank[b, i] = True, own, outcomes.rank[row]
                given[b, i] = number.setdefault(outcomes.predicted[row], len(number))
                gold[b, i] = number.setdefault(outcomes.gold[row], len(number))
        return cls(tuple(cells), items, known, scores, rank, given, gold, lettered)

    def problems(self, r: int) -> list[str]:
        off = np.flatnonzero(~self._explained(r, self.known))
        if not off.size:
            return []
        # Without the beta that is off the others have an explanation.
        without = []
        for b in range(len(self.cells)):
            rest = self.known.copy()
            rest[b] = False
            without.append(self._explained(r, rest))
        found = []
        for i in off:
            cells = [cell for cell, heals in zip(self.cells, without, strict=True) if heals[i]]
            named = self.cells[0]
            where = str(cells[0]) if len(cells) == 1 else f"{named.task}/{named.split}"
            found.append(
                f"{where}: rank and answer of {self.items[i]!r} do not follow from the scores of "
                "its options"
            )
        return found

    def _explained(self, r: int, known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether some r right options give every known answer (n)."""
        k = self.scores.shape[2]
        explained = np.zeros(len(self.items), np.bool_)
        for right in combinations(range(k), r):
            explained |= self._follows(right, known)
        return explained

    def _follows(self, right: Sequence[int], known: NDArray[np.bool_]) -> NDArray[np.bool_]:
        mask = np.zeros(self.scores.shape[2], np.bool_)
        mask[list(right)] = True
        best = self.scores[:, :, mask].max(axis=2, keepdims=True)
        # As an answer is read from scores (see Questions.scored): a tie is lost.
        rank = 1 + (~(self.scores[:, :, ~mask] < best)).sum(axis=2)
        wins = rank == 1
        pick = np.where(
            wins,
            np.where(mask, self.scores, -np.inf).argmax(axis=2),
            np.where(mask, -np.inf, self.scores).argmax(axis=2),
        )
        agrees = rank == self.rank
        is_gold = self.given == self.gold
        agrees &= np.where(wins, is_gold | (len(right) > 1), ~is_gold)
        follows = (agrees | ~known).all(axis=0)
        texts = []
        for option in range(len(mask)):
            picked = known & (pick == option)
            highest = np.where(picked, self.given, NONE).max(axis=0)
            lowest = np.where(picked, self.given, np.iinfo(np.int64).max).min(axis=0)
            # One option is one text, whatever the beta.
            follows &= (highest == NONE) | (highest == lowest)
            texts.append(highest)
        for first, second in combinations(range(len(mask)), 2):
            alike = (texts[first] != NONE) & (texts[first] == texts[second])
            follows &= ~(alike & self._apart(first, second))
        return np.asarray(follows)

    def _apart(self, first: int, second: int) -> NDArray[np.bool_]:
        """Whether the scores of two options show that they are not one text twice (n)."""
        if self.lettered:
            return np.zeros(len(self.items), np.bool_)
        with np.errstate(invalid="ignore"):
            gaps = np.abs(self.scores[:, :, first] - self.scores[:, :, second])
        return np.asarray(np.where(self.known, gaps, 0).max(axis=0) > NEAR)
