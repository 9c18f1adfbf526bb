"""Means over tasks, parity, and paired differences, with intervals that know shared pictures.

Every figure here is a weighted sum of means, theta = sum_t w_t * mean_i(v_ti), over tasks t and
items i. Several tasks ask about the same picture, so items are not independent, but pictures are.
With the contribution of picture c

    u_c = sum_t w_t / n_t * sum_{i of c in t} (v_ti - mean_i(v_ti))

the variance is C / (C - 1) * sum_c u_c^2 over the C pictures (Liang and Zeger's cluster-robust
estimate, linearised), and the interval is theta -+ 1.96 se. For one task and one question for each
picture this is the plain standard error of a mean; for a difference of two models it is McNemar's
without its continuity correction.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.bootstrap import draw, interval
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.scores import Z_95, score_of, wilson


class NotComparable(GgezError):
    """Two sets of outcomes do not answer the same questions, or there are too few."""


@dataclass(frozen=True)
class Estimate:
    """A figure in points (100 is the whole scale) with its standard error and 95 % interval."""

    value: float
    se: float
    low: float
    high: float
    pictures: int

    @property
    def excludes_zero(self) -> bool:
        """Whether the interval lies wholly on one side of 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True, eq=False)
class Sides:
    """The outcomes of one model on the tasks of each side, in a fixed order of tasks."""

    global_tasks: tuple[Outcomes, ...]
    regional_tasks: tuple[Outcomes, ...]


@dataclass(frozen=True, eq=False)
class _Term:
    weight: float
    pictures: tuple[str, ...]
    values: NDArray[np.float64]


def mean(tasks: Sequence[Outcomes]) -> Estimate:
    """The plain mean of the tasks' scores: Q_global or Q_regional of one side."""
    return _estimate([_Term(1 / len(tasks), t.pictures, _points(t)) for t in tasks])


def mean_within(tasks: Sequence[Outcomes]) -> Estimate:
    """`mean` with an interval that stays within 0 and 100, as that of a score does.

    Of one task it is its score's; of several a bootstrap over their pictures (percentiles), and
    where no picture differs from another Wilson's, as if each had been asked about once.
    """
    plain = mean(tasks)
    if len(tasks) == 1:
        score = score_of(tasks[0])
        return replace(plain, low=score.low, high=score.high)
    if plain.se == 0:
        low, high = wilson(round(plain.value / 100 * plain.pictures), plain.pictures)
    else:
        draws = draw([picture for task in tasks for picture in task.pictures])
        means = [draws.means(task.pictures, task.values) for task in tasks]
        low, high = interval(np.mean(means, axis=0))
    return replace(plain, low=100 * low, high=100 * high)


def corrected_mean(tasks: Sequence[Outcomes]) -> Estimate:
    """The plain mean of the tasks' chance-corrected scores: 0 at chance, 100 at the best."""
    return _estimate([_Term(1 / len(tasks), t.pictures, corrected_points(t)) for t in tasks])


def mean_difference(first: Sequence[Outcomes], second: Sequence[Outcomes]) -> Estimate:
    """mean(first) - mean(second) of two models on the same items, item by item.

    Raises NotComparable unless the tasks ask about the same pictures in the same order.
    """
    weight = 1 / max(1, len(first))
    return _estimate(
        [
            _Term(weight, a.pictures, _points(a) - _points(b))
            for a, b in _matched(tuple(first), tuple(second))
        ]
    )


def paired_change(first: Sequence[Outcomes], second: Sequence[Outcomes]) -> Estimate:
    """mean(first) - mean(second) with an interval that is honest where few answers changed.

    Half an answer that turned right and half one that turned wrong are added to each side of every
    task (Agresti and Min, Statistics in Medicine 24, 2005): that nothing changed among 184 items
    does not show that nothing ever will. `value` is the difference as it is. Raises NotComparable.
    """
    plain = mean_difference(first, second)
    pairs = _matched(tuple(first), tuple(second))
    weight = 1 / len(pairs)
    shrunk = _estimate(
        [
            _Term(weight * len(a) / (len(a) + 2), a.pictures, _points(a) - _points(b))
            for a, b in pairs
        ]
    )
    added = math.sqrt(math.fsum((100 * weight / (len(a) + 2)) ** 2 for a, _ in pairs))
    se = math.hypot(shrunk.se, added)
    low, high = shrunk.value - Z_95 * se, shrunk.value + Z_95 * se
    return Estimate(plain.value, se, low, high, plain.pictures)


def parity(sides: Sides, alpha: float, *, raw: bool = False) -> Estimate:
    """GRP = alpha * Q_global + (1 - alpha) * Q_regional of chance-corrected scores.

    `raw` is the paper's arithmetic, on scores as they are.
    """
    values = _points if raw else corrected_points
    return _estimate(
        [
            _Term(weight, outcomes.pictures, values(outcomes))
            for weight, outcomes in weighted(sides, alpha)
        ]
    )


def parity_difference(first: Sides, second: Sides, alpha: float) -> Estimate:
    """parity(first) - parity(second) of two models on the same items, item by item.

    Raises NotComparable unless the tasks ask about the same pictures in the same order.
    """
    _matched(first.global_tasks, second.global_tasks)
    _matched(first.regional_tasks, second.regional_tasks)
    return _estimate(
        [
            _Term(weight, a.pictures, corrected_points(a) - corrected_points(b))
            for (weight, a), (_, b) in zip(
                weighted(first, alpha), weighted(second, alpha), strict=True
            )
        ]
    )


def weighted(sides: Sides, alpha: float) -> list[tuple[float, Outcomes]]:
    """The tasks of both sides with their weights in GRP; raises NotComparable for an empty side."""
    if not (sides.global_tasks and sides.regional_tasks):
        raise NotComparable("parity needs at least one task of each side")
    parts = ((alpha, sides.global_tasks), (1 - alpha, sides.regional_tasks))
    return [(weight / len(tasks), task) for weight, tasks in parts for task in tasks]


def _points(outcomes: Outcomes) -> NDArray[np.float64]:
    return outcomes.values * 100.0


def corrected_points(outcomes: Outcomes) -> NDArray[np.float64]:
    """Values (n,) of the items whose mean is the normalised score: 0 at chance, 100 at the best."""
    floor = outcomes.floor
    return (outcomes.values - floor) * (100.0 / (1 - floor))


def _matched(
    first: tuple[Outcomes, ...], second: tuple[Outcomes, ...]
) -> list[tuple[Outcomes, Outcomes]]:
    if len(first) != len(second):
        raise NotComparable(f"{len(first)} tasks cannot be compared with {len(second)}")
    for number, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.items != b.items or a.gold != b.gold or not np.array_equal(a.chance, b.chance):
            raise NotComparable(
                f"task {number + 1} of the two models does not ask the same questions",
                "Compare runs of the same tasks on the same data.",
            )
    return list(zip(first, second, strict=True))


def _estimate(terms: Sequence[_Term]) -> Estimate:
    shares: dict[str, float] = {}
    value = 0.0
    for term in terms:
        n = len(term.values)
        average = math.fsum(term.values) / n
        value += term.weight * average
        for picture, share in zip(
            term.pictures, term.weight * (term.values - average) / n, strict=True
        ):
            shares[picture] = shares.get(picture, 0.0) + float(share)
    pictures = len(shares)
    if pictures < 2:
        raise NotComparable(f"an interval needs at least two pictures, there are {pictures}")
    se = math.sqrt(pictures / (pictures - 1) * math.fsum(u * u for u in shares.values()))
    return Estimate(value, se, value - Z_95 * se, value + Z_95 * se, pictures)
