"""A score with its interval, from what came out item by item."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.regions.parity import normalised

Z_95 = 1.959963984540054


class NoItems(GgezError):
    """There is nothing to compute a score from."""


@dataclass(frozen=True)
class Score:
    """A share of right answers.

    score      100 * successes / n
    se         100 * sqrt(p (1 - p) / n), the plug-in standard error; 0 at 0 and at 100
    low, high  the 95 % Wilson interval, which stays honest there
    floor      what guessing gets: 100 * the mean chance of the items

    All but n are on the scale from 0 to 100.
    """

    score: float
    n: int
    se: float
    low: float
    high: float
    floor: float

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
    n = len(outcomes)
    successes = int(np.count_nonzero(outcomes.correct))
    low, high = wilson(successes, n)
    p = successes / n
    return Score(
        score=100 * p,
        n=n,
        se=100 * math.sqrt(p * (1 - p) / n),
        low=100 * low,
        high=100 * high,
        floor=100 * math.fsum(outcomes.chance) / n,
    )
