"""The judgements of one measure that count, and its figures: means, parity, and their differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.people.estimates import Clusters, Estimate, Term, estimate
from ggez_hub.evaluation.people.ratings import SIDES, Floats, Mask, Ratings

Judge: TypeAlias = Literal["people", "simulated"]


@dataclass(frozen=True, eq=False)
class Sample:
    """The first judgements of one measure that count, as points from 0 to 100."""

    ratings: Ratings
    points: Floats
    by: Clusters
    alpha: float

    @classmethod
    def of(cls, ratings: Ratings, ends: Sequence[float], measure: str, alpha: float) -> Sample:
        """Of ratings that count: gold and repeats are left out here."""
        first = (ratings.occurrence == 0) & ~ratings.gold & ratings.equals("measure", measure)
        kept = ratings.where(first)
        sides = np.where(kept.equals("rater_side", "regional"), 1, 0)
        by = Clusters(kept.codes("rater"), sides, kept.codes("item"), kept.codes("judgement"))
        return cls(kept, in_points(kept.value, ends), by, alpha)

    def side(self, model: str, side: str) -> Estimate:
        return self._estimate([(1.0, self._rows(model, side))], (side,))

    def grp(self, model: str) -> Estimate:
        return self._estimate(self._parity(model, 1), SIDES)

    def side_difference(self, model: str, other: str, side: str) -> Estimate:
        terms = [(1.0, self._rows(model, side)), (-1.0, self._rows(other, side))]
        return self._estimate(terms, (side,), is_difference=True)

    def grp_difference(self, model: str, other: str) -> Estimate:
        terms = [*self._parity(model, 1), *self._parity(other, -1)]
        return self._estimate(terms, SIDES, is_difference=True)

    def mean(self, rows: Mask) -> Estimate:
        return self._estimate([(1.0, rows)], ())

    def _parity(self, model: str, sign: int) -> list[tuple[float, Mask]]:
        weights = (self.alpha, 1 - self.alpha)
        return [
            (sign * weight, self._rows(model, side))
            for weight, side in zip(weights, SIDES, strict=True)
        ]

    def _rows(self, model: str, side: str) -> Mask:
        return self.ratings.equals("model", model) & self.ratings.equals("rater_side", side)

    def _estimate(
        self, terms: Sequence[tuple[float, Mask]], sides: Sequence[str], *, is_difference: bool = False
    ) -> Estimate:  # fmt: skip
        wanted = [Term(*term) for term in terms]
        return estimate(self.points, self.by, wanted, is_difference=is_difference, sides=sides)


def in_points(values: Floats, ends: Sequence[float]) -> Floats:
    """Values on 0-100: 0 the worst, 100 the best."""
    worst, best = ends
    return np.asarray(100 * (values - worst) / (best - worst))


def judge_of(ratings: Ratings) -> Judge:
    """Who judged: people where there are any."""
    return "people" if "person" in ratings.names("rater_kind") else "simulated"


def counted_ratings(without: Sequence[str], ratings: Ratings) -> Ratings:
    """The rows that count: those of people, or of scripts where there are none; raises GgezError."""
    kind = "person" if judge_of(ratings) == "people" else "simulated"
    out = [ratings.names("rater").index(r) for r in without if r in ratings.names("rater")]
    kept = ratings.where(ratings.equals("rater_kind", kind) & ~np.isin(ratings.codes("rater"), out))
    if not len(kept):
        raise GgezError("no judgement is left that counts", "Leave fewer raters out.")
    return kept
