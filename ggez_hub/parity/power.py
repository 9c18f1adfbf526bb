"""Sample sizes of a paired comparison: how many pictures show a difference between two models.

`variance` is that of one picture's difference, on a scale of 0 to 1 for an answer: of right and wrong
answers it is the share of pictures of which one model alone is right. Tests are two-sided.

The formula is Connor's (1987, doi:10.2307/2531961) for McNemar's test. Differences are in points.
"""

from __future__ import annotations

import math

from ggez_hub.parity.effects import POWER
from ggez_hub.parity.intervals import LEVEL
from ggez_hub.parity.score_intervals import NORMAL

# What is not seen with so few pictures is not looked for.
FEWEST = 2


def sample_size(difference: float, variance: float) -> int:
    """The pictures with which a true difference is shown in 80 % of repetitions, at a level of 5 %.

    Raises ValueError for a difference that no such variance admits.
    """
    d = difference / 100
    if not 0 < d <= variance <= 1:
        raise ValueError(
            f"a difference of {difference:g} points needs a variance of {d:g} to 1, not {variance:g}"
        )
    return max(FEWEST, math.ceil((_reach(d, variance) / d) ** 2))


def difference_seen(pictures: int, variance: float) -> float | None:
    """The smallest difference, in points, that so many pictures show; None if they show none."""
    if pictures < FEWEST or not 0 < variance <= 1:
        return None
    low, high = 0.0, variance
    if high * math.sqrt(pictures) < _reach(high, variance):
        return None
    for _ in range(60):
        middle = (low + high) / 2
        shown = middle * math.sqrt(pictures) >= _reach(middle, variance)
        low, high = (low, middle) if shown else (middle, high)
    return 100 * high


def _reach(difference: float, variance: float) -> float:
    """How far the mean of one picture's differences has to be from 0, in units of 1 / sqrt(n)."""
    level, shown = NORMAL.inv_cdf((1 + LEVEL) / 2), NORMAL.inv_cdf(POWER)
    return level * math.sqrt(variance) + shown * math.sqrt(variance - difference**2)
