"""A score with its interval, from what came out item by item."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.outcomes import QUESTIONS, Outcomes
from ggez_hub.parity.grp import normalised
from ggez_hub.parity.intervals import estimate_share

Z_95 = 1.959963984540054


class NoItems(GgezError):
    """There is nothing to compute a score from."""


@dataclass(frozen=True)
class Score:
    """A share of right answers, or the mean of their parts that are right.

    score      100 * successes / n; 100 * the mean of the parts
    se         the standard error; 0 at 0 and at 100
    low, high  the 95 % interval, which stays honest there
    floor      what guessing gets: 100 * the mean chance of the items
    pictures   how many different pictures the n questions are about
    missing    questions that were not asked, because their picture is gone; not among the n
    unparsed   answers that could not be read; among the n, and wrong

    The interval is Wilson's for as many independent answers as those that share pictures are worth
    (`parity.intervals`). The standard error is 100 * sqrt(p (1 - p) / n) with one question for each
    picture, else the cluster-robust one. All but the counts are on the scale from 0 to 100.
    """

    score: float
    n: int
    se: float
    low: float
    high: float
    floor: float
    pictures: int
    missing: int = 0
    unparsed: int = 0

    @property
    def normalised(self) -> float:
        """100 * (score - floor) / (100 - floor): 0 at chance, 100 at the best, below 0 beneath."""
        return normalised(self.score, self.floor)

    @property
    def normalised_low(self) -> float:
        """The lower end of the interval on the normalised scale."""
        return normalised(self.low, self.floor)

    @property
    def normalised_high(self) -> float:
        """The upper end of the interval on the normalised scale."""
        return normalised(self.high, self.floor)

    @property
    def at_chance(self) -> bool:
        """Whether the normalised interval includes 0: the model cannot be told from guessing."""
        return self.normalised_low <= 0 <= self.normalised_high


def wilson(successes: int, n: int, z: float = Z_95) -> tuple[float, float]:
    """The Wilson interval of a proportion, in [0, 1].

        centre = (p + z^2 / 2n) / (1 + z^2 / n)
        half   = z / (1 + z^2 / n) * sqrt(p (1 - p) / n + z^2 / 4n^2)

    E. B. Wilson, JASA 22 (1927). Raises NoItems for n = 0.
    """
    if n <= 0:
        raise NoItems("a score needs at least one item")
    p = successes / n
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the two terms cancel but for rounding.
    low = 0.0 if successes == 0 else max(0.0, centre - half)
    high = 1.0 if successes == n else min(1.0, centre + half)
    return low, high


def score_of(outcomes: Outcomes) -> Score:
    """The score of a task and split; raises NoItems."""
    n, pictures = len(outcomes), len(set(outcomes.pictures))
    if not n:
        raise NoItems("a score needs at least one item")
    p = math.fsum(outcomes.values) / n
    clustered = _clustered_error(outcomes.pictures, outcomes.values - p)
    found = estimate_share(100 * p, 100 * clustered, pictures)
    is_plain = pictures == n and outcomes.credit is None and outcomes.average == QUESTIONS
    return Score(
        score=100 * p,
        n=n,
        se=100 * (math.sqrt(p * (1 - p) / n) if is_plain else clustered),
        low=found.low,
        high=found.high,
        floor=100 * outcomes.floor,
        pictures=pictures,
        missing=len(outcomes.missing),
        unparsed=outcomes.unparsed,
    )


def _clustered_error(pictures: tuple[str, ...], residuals: NDArray[np.float64]) -> float:
    """The standard error of a mean whose questions share pictures; .5 of one picture alone."""
    share: dict[str, float] = {}
    for picture, residual in zip(pictures, residuals.tolist(), strict=True):
        share[picture] = share.get(picture, 0.0) + residual / len(pictures)
    size = len(share)
    if size < 2:
        # One picture says nothing of others.
        return 0.5
    return math.sqrt(size / (size - 1) * math.fsum(u * u for u in share.values()))
