"""Scores, means over tasks, parity, and paired differences, from what came out item by item.

Every figure is a weighted sum of means over tasks and items. Several tasks ask about the same picture,
so items are not independent, but pictures are: the errors are clustered by picture. The intervals are
those of `parity.intervals`, from the moments that a card keeps: a figure is the same from a card and
from its predictions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

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
from ggez_hub.quantities import counted


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
    def normalised_interval(self) -> tuple[float, float]:
        return normalised(self.low, self.floor), normalised(self.high, self.floor)

    @property
    def at_chance(self) -> bool:
        """Whether the normalised interval includes 0: the model cannot be told from guessing."""
        low, high = self.normalised_interval
        return low <= 0 <= high


def score_of(outcomes: Outcomes) -> Score:
    """The score of a task and split; raises GgezError."""
    n, pictures = len(outcomes), len(set(outcomes.pictures))
    if not n:
        raise GgezError("a score needs at least one item")
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


class NotComparable(GgezError):
    """Two sets of outcomes do not answer the same questions, or there are too few."""


@dataclass(frozen=True, eq=False)
class Sides:
    """The outcomes of one model on the tasks of each side, in a fixed order of tasks."""

    global_tasks: tuple[Outcomes, ...]
    regional_tasks: tuple[Outcomes, ...]


def mean(tasks: Sequence[Outcomes]) -> Interval:
    """The plain mean of the tasks' scores: Q_global or Q_regional of one side."""
    return estimate_side(answer_moments([(tasks, (), ())], raw=True), GLOBAL, 0)


def mean_difference(first: Sequence[Outcomes], second: Sequence[Outcomes]) -> Interval:
    """mean(first) - mean(second) of two models on the same items, item by item.

    Raises NotComparable unless the tasks ask about the same pictures in the same order.
    """
    _check_matched(first, second)
    moments = answer_moments([(tasks, (), ()) for tasks in (first, second)], raw=True)
    return estimate_side_difference(moments, GLOBAL, 0, 1)


def parity(sides: Sides, alpha: float) -> Interval:
    """GRP = alpha * Q_global + (1 - alpha) * Q_regional of chance-corrected scores."""
    return estimate_grp(answer_moments([_both(sides)]), alpha, 0)


def parity_difference(first: Sides, second: Sides, alpha: float) -> Interval:
    """parity(first) - parity(second) of two models on the same items, item by item.

    Raises NotComparable unless the tasks ask about the same pictures in the same order.
    """
    models = [_both(sides) for sides in (first, second)]
    _check_matched(first.global_tasks, second.global_tasks)
    _check_matched(first.regional_tasks, second.regional_tasks)
    return estimate_grp_difference(answer_moments(models), alpha, 0, 1)


def _both(sides: Sides) -> tuple[Sequence[Outcomes], ...]:
    if not (sides.global_tasks and sides.regional_tasks):
        raise NotComparable("parity needs at least one task of each side")
    return (sides.global_tasks, (), sides.regional_tasks)


def _check_matched(first: Sequence[Outcomes], second: Sequence[Outcomes]) -> None:
    if len(first) != len(second):
        raise NotComparable(f"{counted(len(first), 'task')} cannot be compared with {len(second)}")
    for number, (a, b) in enumerate(zip(first, second, strict=True)):
        if a.items != b.items or a.gold != b.gold or not np.array_equal(a.chance, b.chance):
            raise NotComparable(
                f"task {number + 1} of the two models does not ask the same questions",
                "Compare runs of the same tasks on the same data.",
            )


def answer_moments(models: Sequence[Sequence[Sequence[Outcomes]]], *, raw: bool = False) -> Moments:
    """The moments of models (those of betas, or any), each with its tasks on the three sides.

    A side is the plain mean over its tasks. Several tasks may ask about one picture: the
    contribution of picture c to the error of a mean is

        u_c = sum_t 1 / (T n_t) * sum_{i of c in t} (v_ti - mean_i(v_ti))

    `raw` leaves scores as they are, with a floor of 0. Raises NotComparable for fewer than two
    pictures.
    """
    names = {p for sides in models for tasks in sides for task in tasks for p in task.pictures}
    if len(names) < 2:
        raise NotComparable(f"an interval needs at least two pictures, there are {len(names)}")
    rows = {name: row for row, name in enumerate(sorted(names))}
    shape = (len(rows), len(SIDES), len(models))
    scored, corrected, added = (np.zeros(shape) for _ in range(3))
    means, scores = (np.full(shape[1:], np.nan) for _ in range(2))
    for b, sides in enumerate(models):
        for s, tasks in enumerate(sides):
            if tasks:
                means[s, b] = scores[s, b] = 0
            for task in tasks:
                floor = 0.0 if raw else task.floor
                span, weight = 100 / (1 - floor) / len(tasks), 100 / len(tasks)
                average = math.fsum(task.values) / len(task)
                scores[s, b] += weight * average
                means[s, b] += span * (average - floor)
                places = np.fromiter((rows[p] for p in task.pictures), np.intp, len(task))
                errors = np.bincount(places, task.values - average, len(rows)) / len(task)
                scored[:, s, b] += weight * errors
                corrected[:, s, b] += span * errors
                # A changed answer changes that of its own picture alone, also of a macro average.
                worth = task.weights * (task.worth - floor)
                added[:, s, b] += span * np.bincount(places, worth, len(rows)) / len(task)
    first = models[0]
    pictures = [len({p for task in tasks for p in task.pictures}) for tasks in first]
    counts = np.array(pictures)[:, None]
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = np.sqrt(counts / (counts - 1) * np.sum(scored**2, axis=0))
    floors = [0 if raw or not t else 100 * math.fsum(o.floor for o in t) / len(t) for t in first]
    return clustered_moments(
        corrected, means, scores, spread, np.array(floors), pictures, count_changes(added)
    )
