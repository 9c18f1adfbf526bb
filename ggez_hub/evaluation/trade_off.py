"""A trade-off that was measured, and the choice of beta on it: arithmetic on its points.

GRP(beta) = alpha * Q_global + (1 - alpha) * Q_regional (arXiv 2604.11490). The beta that is chosen is
the smallest within one standard error of the best GRP.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.evaluation.betas import Beta, betas_of, single

# Far below any digit of a score, and above the rounding of sums of them.
ROUNDING = 1e-10
Z95 = 1.959963984540054


@dataclass(frozen=True)
class Side:
    """One side of parity: the mean over its tasks (0-100), as scored and normalised by the floor.

    `se` is the standard error of `score`, `se_normalised` that of `normalised`; tasks are taken as
    independent, which understates it where they share pictures. `n` is the smallest task's.
    """

    score: float
    normalised: float
    se: float
    se_normalised: float
    n: int
    tasks: tuple[str, ...]

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `score`, within 0-100."""
        return max(0.0, self.score - Z95 * self.se), min(100.0, self.score + Z95 * self.se)

    @property
    def at_chance(self) -> bool:
        """Whether the 95 % interval of the normalised score includes 0."""
        return self.normalised - Z95 * self.se_normalised <= 0.0


@dataclass(frozen=True)
class Point:
    """The model at one beta: both sides, GRP normalised and raw, and the GRP's standard error.

    `covariance` is that of the sides' normalised scores: 0 where they are taken as independent.
    """

    beta: Beta
    q_global: Side
    q_regional: Side
    grp: float
    grp_raw: float
    se: float
    covariance: float = 0.0

    def se_at(self, alpha: float) -> float:
        """The standard error of the GRP at another alpha."""
        world, regional = self.q_global.se_normalised, self.q_regional.se_normalised
        together = 2 * alpha * (1 - alpha) * self.covariance
        return math.sqrt(max(0.0, (alpha * world) ** 2 + ((1 - alpha) * regional) ** 2 + together))

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `grp`."""
        return self.grp - Z95 * self.se, self.grp + Z95 * self.se


@dataclass(frozen=True)
class Trade:
    """A curve seen with one alpha: its points by beta, the metric, and whose items are regional.

    `metric` names the judge too, where there is one. `at_chance` are the tasks that were left out:
    at no beta are they above chance on the select side, so nothing can be chosen by them.
    """

    points: tuple[Point, ...]
    metric: str
    region: str
    measured_by: str
    at_chance: tuple[str, ...] = ()

    def at(self, beta: Beta) -> Point | None:
        """The point at `beta`, if that was measured."""
        return next((p for p in self.points if _same(p.beta, beta)), None)

    @property
    def best(self) -> Point:
        """The highest GRP; the smaller beta where two are equal."""
        return max(self.points, key=lambda p: p.grp)

    @property
    def chosen(self) -> Point:
        """The smallest beta whose GRP is within one standard error of the best."""
        return self.points[choose([p.grp for p in self.points], [p.se for p in self.points])]

    @property
    def beta(self) -> float:
        """The beta that is chosen for the one adapter; raises UsageProblem for a composition."""
        return single(self.chosen.beta)


def _same(one: Beta, other: Beta) -> bool:
    each, others = betas_of(one), betas_of(other)
    return len(each) == len(others) and all(map(math.isclose, each, others))


def choose(parities: Sequence[float], errors: Sequence[float]) -> int:
    """The rule: the first of the parities that is within one standard error of the best one.

    Both are in points, in the order of rising betas, which `ggez_hub.evaluation.betas` defines for several adapters; the error is that of the best. What is below
    by the rounding of a float alone counts as within.
    """
    best = max(range(len(parities)), key=lambda i: (parities[i], -i))
    threshold = parities[best] - errors[best] - ROUNDING
    return next(i for i, value in enumerate(parities) if value >= threshold)
