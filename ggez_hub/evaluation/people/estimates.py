"""Means of judgements and their differences, with intervals over raters *and* items.

Both are samples: other raters, or other items, would have given another figure. Judgements of one
rater, and of one item, are alike, so the variance is clustered in two ways (Cameron, Gelbach and Miller,
J. Bus. Econ. Stat. 29, 2011): that between raters plus that between items less that of single
judgements, never less than the larger of the two. Degrees of freedom are Satterthwaite's.
`benchmarks/humans.py` measures how often the intervals hold the truth.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from ggez_hub.evaluation.people.ratings import SIDES, Floats, Integers, Mask
from ggez_hub.parity.effects import POWER
from ggez_hub.parity.intervals import LEVEL
from ggez_hub.parity.score_intervals import NORMAL, t_quantile
from ggez_hub.quantities import counted

# Below these an interval does not keep its level.
FEWEST_RATERS = 6
FEWEST_ITEMS = 20
# More than these nobody will ask for.
MOST_NEEDED = 10_000_000


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % interval over raters and items.

    refusal  why nothing is to be concluded from it; None where it may be
    needed   of a difference that is not shown: how many judgements show it in 80 % of repetitions, with
             more raters and items in proportion, if it is the true one
    """

    value: float
    se: float
    low: float
    high: float
    raters: int
    items: int
    judgements: int
    refusal: str | None = None
    needed: int | None = None

    @property
    def verdict(self) -> str:
        """Of a difference."""
        if self.refusal is None and self.low > 0:
            return "ahead"
        return "behind" if self.refusal is None and self.high < 0 else "undetermined"

    def as_dict(self) -> dict[str, Any]:
        return {
            "value": self.value,
            "interval": [self.low, self.high],
            "se": self.se,
            "raters": self.raters,
            "items": self.items,
            "judgements": self.judgements,
            "undetermined": self.refusal,
            "needed": self.needed,
        }


class Clusters(NamedTuple):
    """Whose value each is, about what, and of which judgement; `sides` are places in SIDES."""

    raters: Integers
    sides: Integers
    items: Integers
    judgements: Integers

    @property
    def counts(self) -> tuple[int, int, int]:
        """How many raters, items and judgements there are."""
        raters, items, judgements = (
            len(np.unique(codes)) for codes in (self.raters, self.items, self.judgements)
        )
        return raters, items, judgements

    def where(self, rows: Mask) -> Clusters:
        return Clusters(*(codes[rows] for codes in self))


class Error(NamedTuple):
    """A standard error and its degrees of freedom."""

    se: float
    freedom: float


def clustered_error(influence: Floats, by: Clusters) -> Error:
    """The error of a figure from what each judgement adds to it.

    The raters of the two sides are different people, drawn apart.
    """
    parts = [_squares(influence[by.sides == side], by.raters[by.sides == side]) for side in (0, 1)]
    parts.append(_squares(influence, by.items))
    raters, items = parts[0][0] + parts[1][0], parts[2][0]
    variance = max(raters + items - _in_both(influence, by), raters, items)
    spread = sum(square * square / (clusters - 1) for square, clusters in parts if clusters > 1)
    freedom = (raters + items) ** 2 / spread if spread > 0 else 1.0
    return Error(math.sqrt(variance), max(freedom, 1.0))


def _squares(influence: Floats, clusters: Integers) -> tuple[float, int]:
    """The sum of squares of the clusters' sums, times k / (k - 1), and k."""
    _, own = np.unique(clusters, return_inverse=True)
    sums = np.bincount(own, influence) if len(own) else np.empty(0)
    k = len(sums)
    return (float(sums @ sums) * k / (k - 1), k) if k > 1 else (float(sums @ sums), k)


def _in_both(influence: Floats, by: Clusters) -> float:
    """What is counted as between raters and between items alike: the variance of single judgements.

    Of what is left of each after the means of its rater and its item: the plain sum of squares would
    take away a part of what does lie between raters and items.
    """
    width = int(by.items.max(initial=0)) + 1
    cells, own = np.unique(by.raters * width + by.items, return_inverse=True)
    sums = np.bincount(own, influence)
    left, groups = np.asarray(sums, np.float64), 0
    for codes in (cells // width, cells % width):
        _, group = np.unique(codes, return_inverse=True)
        left = left - (np.bincount(group, sums) / np.bincount(group))[group]
        groups += int(group.max()) + 1
    freedom = len(cells) - groups + 1
    return float(left @ left) * len(cells) / freedom if freedom > 0 else float(sums @ sums)


class Term(NamedTuple):
    """A weight, and the rows whose mean it is of."""

    weight: float
    rows: Mask


def estimate(
    values: Floats,
    by: Clusters,
    terms: Sequence[Term],
    *,
    is_difference: bool = False,
    sides: Sequence[str] = (),
) -> Estimate:
    """A weighted sum of means of values on 0-100; refused where raters or items are too few.

    sides: those from which raters are asked for, each enough of them
    """
    influence, value, used = np.zeros(len(values)), 0.0, np.zeros(len(values), bool)
    for weight, rows in terms:
        n = int(rows.sum())
        mean = float(values[rows].mean()) if n else math.nan
        value += weight * mean
        influence[rows] += weight * (values[rows] - mean) / max(n, 1)
        used |= rows
    seen = by.where(used)
    raters, items, _ = counts = seen.counts
    missing = [
        f"{FEWEST_RATERS - count} more of the raters' {side} side"
        for side in sides
        if (count := len(np.unique(seen.raters[seen.sides == SIDES.index(side)]))) < FEWEST_RATERS
    ]
    if not sides and raters < FEWEST_RATERS:
        missing.append(f"{counted(FEWEST_RATERS - raters, 'more rater')}")
    if items < FEWEST_ITEMS:
        missing.append(f"{counted(FEWEST_ITEMS - items, 'more item')}")
    if not math.isfinite(value):
        nothing = f"there are no judgements; needed: {', '.join(missing)}"
        return Estimate(math.nan, math.nan, math.nan, math.nan, *counts, nothing)
    refusal = f"too few; needed: {', '.join(missing)}" if missing else None
    error = clustered_error(influence[used], seen)
    found = _with_interval(value, error, counts, refusal, is_difference=is_difference)
    if is_difference:
        return found
    return replace(found, low=max(found.low, 0.0), high=min(found.high, 100.0))


def _with_interval(
    value: float,
    error: Error,
    counts: tuple[int, int, int],
    refusal: str | None,
    *,
    is_difference: bool,
) -> Estimate:
    if error.se == 0 and refusal is None:
        refusal = "every judgement is the same: an interval needs some that differ"
    half = t_quantile((1 + LEVEL) / 2, error.freedom) * error.se
    needed = None
    if is_difference and refusal is None and abs(value) <= half and value:
        reach = NORMAL.inv_cdf((1 + LEVEL) / 2) + NORMAL.inv_cdf(POWER)
        wanted = counts[2] * (reach * error.se / value) ** 2
        needed = math.ceil(wanted) if wanted <= MOST_NEEDED else None
    return Estimate(value, error.se, value - half, value + half, *counts, refusal, needed)


def from_influence(value: float, influence: Floats, by: Clusters) -> Estimate:
    """An estimate from what each judgement adds to it."""
    counts = by.counts
    few = counts[0] < FEWEST_RATERS or counts[1] < FEWEST_ITEMS
    refusal = f"{counts[0]} raters and {counts[1]} items are too few" if few else None
    return _with_interval(value, clustered_error(influence, by), counts, refusal, is_difference=True)  # fmt: skip
