"""A score with its interval, from what came out item by item."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import QUESTIONS, Outcomes
from ggez_hub.parity.grp import normalised
from ggez_hub.parity.intervals import (
    Interval,
    estimate_grp,
    estimate_grp_difference,
    estimate_share,
    estimate_side,
    estimate_side_difference,
)
from ggez_hub.parity.moments import GLOBAL, SIDES, Moments, clustered_moments, count_changes

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


# A figure in points (100 is the full scale) with its standard error and 95 % interval.
Estimate: TypeAlias = Interval


class NotComparable(GgezError):
    """Two sets of outcomes do not answer the same questions, or there are too few."""


@dataclass(frozen=True, eq=False)
class Sides:
    """The outcomes of one model on the tasks of each side, in a fixed order of tasks."""

    global_tasks: tuple[Outcomes, ...]
    regional_tasks: tuple[Outcomes, ...]


def mean(tasks: Sequence[Outcomes]) -> Estimate:
    """The plain mean of the tasks' scores: Q_global or Q_regional of one side."""
    return estimate_side(_moments([Sides(tuple(tasks), ())], raw=True), GLOBAL, 0)


def mean_difference(first: Sequence[Outcomes], second: Sequence[Outcomes]) -> Estimate:
    """mean(first) - mean(second) of two models on the same items, item by item.

    Raises NotComparable unless the tasks ask about the same pictures in the same order.
    """
    _check_matched(tuple(first), tuple(second))
    sides = [Sides(tuple(tasks), ()) for tasks in (first, second)]
    return estimate_side_difference(_moments(sides, raw=True), GLOBAL, 0, 1)


def parity(sides: Sides, alpha: float, *, raw: bool = False) -> Estimate:
    """GRP = alpha * Q_global + (1 - alpha) * Q_regional of chance-corrected scores.

    `raw` is the paper's arithmetic, on scores as they are.
    """
    _check_sides(sides)
    return estimate_grp(_moments([sides], raw=raw), alpha, 0)


def parity_difference(first: Sides, second: Sides, alpha: float) -> Estimate:
    """parity(first) - parity(second) of two models on the same items, item by item.

    Raises NotComparable unless the tasks ask about the same pictures in the same order.
    """
    _check_sides(first)
    _check_matched(first.global_tasks, second.global_tasks)
    _check_matched(first.regional_tasks, second.regional_tasks)
    return estimate_grp_difference(_moments([first, second]), alpha, 0, 1)


def weighted(sides: Sides, alpha: float) -> list[tuple[float, Outcomes]]:
    """The tasks of both sides with their weights in GRP; raises NotComparable for an empty side."""
    _check_sides(sides)
    parts = ((alpha, sides.global_tasks), (1 - alpha, sides.regional_tasks))
    return [(weight / len(tasks), task) for weight, tasks in parts for task in tasks]


def _check_sides(sides: Sides) -> None:
    if not (sides.global_tasks and sides.regional_tasks):
        raise NotComparable("parity needs at least one task of each side")


def _points(outcomes: Outcomes) -> NDArray[np.float64]:
    return outcomes.values * 100.0


def corrected_points(outcomes: Outcomes) -> NDArray[np.float64]:
    """Values (n,) of the items whose mean is the normalised score: 0 at chance, 100 at the best."""
    floor = outcomes.floor
    return (outcomes.values - floor) * (100.0 / (1 - floor))


def _check_matched(first: tuple[Outcomes, ...], second: tuple[Outcomes, ...]) -> None:
    if len(first) != len(second):
        raise NotComparable(f"{len(first)} tasks cannot be compared with {len(second)}")
    for number, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.items != b.items or a.gold != b.gold or not np.array_equal(a.chance, b.chance):
            raise NotComparable(
                f"task {number + 1} of the two models does not ask the same questions",
                "Compare runs of the same tasks on the same data.",
            )


def _moments(models: Sequence[Sides], *, raw: bool = False) -> Moments:
    """The moments of models on the same questions, in the places of betas.

    `raw` leaves scores as they are, with a floor of 0. What is outside the region is not among them.
    """
    tasks: list[list[tuple[Outcomes, ...]]] = [
        [m.global_tasks for m in models],
        [() for _ in models],
        [m.regional_tasks for m in models],
    ]
    names = {p for side in tasks for task in side[0] for p in task.pictures}
    if len(names) < 2:
        raise NotComparable(f"an interval needs at least two pictures, there are {len(names)}")
    rows = {name: row for row, name in enumerate(sorted(names))}
    shares = np.zeros((len(rows), len(SIDES), len(models)))
    centred = np.zeros_like(shares)
    means = np.full((len(SIDES), len(models)), np.nan)
    floors = np.zeros(len(SIDES))
    pictures = []
    for s, side in enumerate(tasks):
        places = [np.array([rows[p] for p in task.pictures], np.intp) for task in side[0]]
        pictures.append(len(np.unique(np.concatenate(places))) if places else 0)
        for b, asked in enumerate(side):
            for task, place in zip(asked, places, strict=True):
                values = _points(task) if raw else corrected_points(task)
                average = math.fsum(values) / len(values)
                weight = 1 / (len(asked) * len(values))
                np.add.at(shares[:, s, b], place, weight * values)
                np.add.at(centred[:, s, b], place, weight * (values - average))
                before = 0.0 if np.isnan(means[s, b]) else means[s, b]
                means[s, b] = before + average / len(asked)
        if side[0] and not raw:
            floors[s] = 100 * float(np.mean([task.floor for task in side[0]]))
    scores = means * (1 - floors[:, None] / 100) + floors[:, None]
    return clustered_moments(
        centred, means, scores, np.zeros_like(means), floors, pictures, count_changes(shares)
    )
