"""Parity along a card's curve, and the choice of beta: arithmetic on stored scores, no model.

GRP(beta) = alpha * Q_global + (1 - alpha) * Q_regional on scores normalised by their floor
(arXiv 2604.11490; `grp_raw` is the paper's arithmetic on the scores as they are). The beta that is
chosen is the smallest within one standard error of the best GRP.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ggez_hub.cards import CurveRow
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.betas import Beta, betas_of, read_key, single
from ggez_hub.evaluation.scales import decisive
from ggez_hub.regions import find_region, grp, normalised

Split = Literal["validation", "test"]
Curve = Mapping[str, Mapping[str, CurveRow]]

# With fewer items of the requested country than this, its own curve is too noisy to choose by.
MIN_ITEMS = 100
# Far below any digit of a score, and above the rounding of sums of them.
ROUNDING = 1e-10
Z95 = 1.959963984540054


class NoCurve(GgezError):
    """A card holds no scores from which a beta could be chosen."""


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


def trade(curve: Curve, split: Split, alpha: float, region: str, card_region: str) -> Trade:
    """The trade-off that a curve shows on `split` for `region`, which may lie inside the card's.

    The regional side is that of the requested region: its own items, or the whole side where
    it is the card's region or has fewer than 100 items (`Trade.region` says which). Raises NoCurve.
    """
    measured, measured_by = _measured(curve, split)
    metric = _metric(row for tasks in measured.values() for row in tasks.values())
    whose = card_region
    if region != card_region and _items(measured, region, metric) >= MIN_ITEMS:
        whose = region
    part = None if whose == card_region else whose
    select, _ = _measured(curve, "validation")
    hopeless = _at_chance(select or measured, metric)
    points = [
        _point(beta, tasks, metric, alpha, part, hopeless)
        for beta, tasks in sorted(measured.items())
    ]
    complete = tuple(point for point in points if point is not None)
    if not complete or all(p.q_regional.at_chance for p in complete):
        reason = (
            "is at chance at every beta"
            if complete or hopeless
            else f"has no {split} scores of both sides"
        )
        raise NoCurve(f"the curve for {region} {reason}", "Give a beta with --beta.")
    return Trade(complete, metric, whose, measured_by, tuple(sorted(hopeless)))


Rows = Mapping[Beta, Mapping[str, CurveRow]]


def _measured(curve: Curve, split: Split) -> tuple[Rows, str]:
    """The rows of a split: those that the registry measured, or the author's where it has none."""
    rows = {
        read_key(beta): {key: row for key, row in tasks.items() if row.split == split}
        for beta, tasks in curve.items()
    }
    by_registry = {
        beta: {key: row for key, row in tasks.items() if row.measured_by == "registry"}
        for beta, tasks in rows.items()
    }
    return (by_registry, "registry") if any(by_registry.values()) else (rows, "self")


def _at_chance(rows: Rows, metric: str) -> frozenset[str]:
    """The tasks whose interval includes the floor at every beta."""
    above: dict[str, bool] = {}
    for tasks in rows.values():
        for key, row in tasks.items():
            if row.scale == metric:
                name = task_of(key)
                above[name] = above.get(name, False) or row.score - Z95 * row.se > row.floor
    return frozenset(name for name, ever in above.items() if not ever)


def task_of(key: str) -> str:
    """The id of the task in a curve's key, which is `<task id>/<split>`."""
    return key.rpartition("/")[0] or key


def ranking_rows(curve: Curve) -> dict[str, dict[str, CurveRow]]:
    """The rows of a curve that rank its adapter; empty if none do.

    They are what the registry measured on validation, in the metric that parity is computed in:
    `trade` on validation says the same of them as of the whole curve, in a tenth of its size.
    """
    measured = {
        beta: {
            key: row
            for key, row in tasks.items()
            if row.split == "validation" and row.measured_by == "registry"
        }
        for beta, tasks in curve.items()
    }
    try:
        metric = _metric(row for tasks in measured.values() for row in tasks.values())
    except NoCurve:
        return {}
    return {
        beta: {
            key: row
            for key, row in tasks.items()
            if row.scale == metric and row.side in {"global", "regional"}
        }
        for beta, tasks in measured.items()
    }


def _metric(rows: Iterable[CurveRow]) -> str:
    """The metric that parity is computed in: of those on both sides, the one least guessable.

    Scores of different metrics, or of different judges, are never averaged.
    """
    floors: dict[str, float] = {}
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row.scale, set()).add(row.side)
        floors[row.scale] = max(floors.get(row.scale, 0.0), row.floor)
    usable = [m for m, present in sides.items() if {"global", "regional"} <= present]
    if not usable:
        raise NoCurve("the curve has no metric on both sides", "Give a beta with --beta.")
    return decisive({scale: floors[scale] for scale in usable})


@dataclass(frozen=True)
class _Score:
    task: str
    score: float
    se: float
    n: int
    floor: float
    ceiling: float


def _regional(
    tasks: Mapping[str, CurveRow],
    metric: str,
    region: str | None,
    without: frozenset[str] = frozenset(),
) -> list[_Score]:
    """Scores of the regional side; with `region`, only those of its countries' items."""
    found = []
    members = () if region is None else find_region(region).members
    for key, row in tasks.items():
        if row.side != "regional" or row.scale != metric or task_of(key) in without:
            continue
        if region is None:
            found.append(_Score(key, row.score, row.se, row.n, row.floor, row.ceiling))
        found += [
            _Score(f"{key}:{country}", part.score, part.se, part.n, row.floor, row.ceiling)
            for country, part in row.by_country.items()
            if country in members
        ]
    return found


def _items(rows: Rows, region: str, metric: str) -> int:
    counts = [sum(s.n for s in _regional(tasks, metric, region)) for tasks in rows.values()]
    return min(counts, default=0)


def _point(
    beta: Beta,
    tasks: Mapping[str, CurveRow],
    metric: str,
    alpha: float,
    region: str | None,
    without: frozenset[str],
) -> Point | None:
    world = [
        _Score(key, row.score, row.se, row.n, row.floor, row.ceiling)
        for key, row in tasks.items()
        if row.side == "global" and row.scale == metric and task_of(key) not in without
    ]
    regional = _regional(tasks, metric, region, without)
    if not world or not regional:
        return None
    g, r = _side(world), _side(regional)
    return Point(
        beta,
        g,
        r,
        grp(g.normalised, r.normalised, alpha, chance_corrected=True),
        grp(g.score, r.score, alpha),
        math.hypot(alpha * g.se_normalised, (1 - alpha) * r.se_normalised),
    )


def _side(scores: list[_Score]) -> Side:
    k = len(scores)
    spans = [100.0 / (s.ceiling - s.floor) for s in scores]
    return Side(
        score=math.fsum(s.score for s in scores) / k,
        normalised=math.fsum(normalised(s.score, s.floor, s.ceiling) for s in scores) / k,
        se=math.hypot(*(s.se for s in scores)) / k,
        se_normalised=math.hypot(*(s.se * span for s, span in zip(scores, spans, strict=True))) / k,
        n=min(s.n for s in scores),
        tasks=tuple(s.task for s in scores),
    )
