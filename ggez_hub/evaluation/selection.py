"""Parity along a card's curve, and the choice of beta: arithmetic on stored scores, no model.

GRP(beta) = alpha * Q_global + (1 - alpha) * Q_regional on scores normalised by their floor
(arXiv 2604.11490; `grp_raw` is the paper's arithmetic on the scores as they are). The beta that is
chosen is the smallest within one standard error of the best GRP.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from ggez_hub.cards import CurveRow
from ggez_hub.errors import GgezError
from ggez_hub.regions import find_region, grp, normalised

Split = Literal["validation", "test"]
Curve = Mapping[str, Mapping[str, CurveRow]]

# With fewer items of the requested country than this, its own curve is too noisy to choose by.
MIN_ITEMS = 100
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
    """The model at one beta: both sides, GRP normalised and raw, and the GRP's standard error."""

    beta: float
    q_global: Side
    q_regional: Side
    grp: float
    grp_raw: float
    se: float

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `grp`."""
        return self.grp - Z95 * self.se, self.grp + Z95 * self.se


@dataclass(frozen=True)
class Trade:
    """A curve seen with one alpha: its points by beta, the metric, and whose items are regional."""

    points: tuple[Point, ...]
    metric: str
    region: str
    measured_by: str

    def at(self, beta: float) -> Point | None:
        """The point at `beta`, if that was measured."""
        return next((p for p in self.points if math.isclose(p.beta, beta)), None)

    @property
    def best(self) -> Point:
        """The highest GRP; the smaller beta where two are equal."""
        return max(self.points, key=lambda p: (p.grp, -p.beta))

    @property
    def chosen(self) -> Point:
        """The smallest beta whose GRP is within one standard error of the best."""
        threshold = self.best.grp - self.best.se
        return next(p for p in self.points if p.grp >= threshold)


def trade(curve: Curve, split: Split, alpha: float, region: str, card_region: str) -> Trade:
    """The trade-off that a curve shows on `split` for `region`, which may lie inside the card's.

    The regional side is that of the requested region: its own items, or the whole side where
    it is the card's region or has fewer than 100 items (`Trade.region` says which). Raises NoCurve.
    """
    rows = {
        float(beta): {key: row for key, row in tasks.items() if row.split == split}
        for beta, tasks in curve.items()
    }
    by_registry = {
        beta: {key: row for key, row in tasks.items() if row.measured_by == "registry"}
        for beta, tasks in rows.items()
    }
    measured_by = "registry" if any(by_registry.values()) else "self"
    rows = by_registry if measured_by == "registry" else rows
    metric = _metric(row for tasks in rows.values() for row in tasks.values())
    whose = card_region
    if region != card_region and _items(rows, region, metric) >= MIN_ITEMS:
        whose = region
    points = [
        _point(beta, tasks, metric, alpha, None if whose == card_region else whose)
        for beta, tasks in sorted(rows.items())
    ]
    complete = tuple(point for point in points if point is not None)
    if not complete or all(p.q_regional.at_chance for p in complete):
        reason = (
            "is at chance at every beta" if complete else f"has no {split} scores of both sides"
        )
        raise NoCurve(f"the curve for {region} {reason}", "Give a beta with --beta.")
    return Trade(complete, metric, whose, measured_by)


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
            if row.metric == metric and row.side in {"global", "regional"}
        }
        for beta, tasks in measured.items()
    }


def _metric(rows: Iterable[CurveRow]) -> str:
    """The metric that parity is computed in: of those on both sides, the one least guessable.

    Scores of different metrics are never averaged.
    """
    floors: dict[str, float] = {}
    sides: dict[str, set[str]] = {}
    for row in rows:
        sides.setdefault(row.metric, set()).add(row.side)
        floors[row.metric] = max(floors.get(row.metric, 0.0), row.floor)
    usable = [m for m, present in sides.items() if {"global", "regional"} <= present]
    if not usable:
        raise NoCurve("the curve has no metric on both sides", "Give a beta with --beta.")
    return min(usable, key=lambda m: (floors[m], m))


@dataclass(frozen=True)
class _Score:
    task: str
    score: float
    se: float
    n: int
    floor: float
    ceiling: float


def _regional(tasks: Mapping[str, CurveRow], metric: str, region: str | None) -> list[_Score]:
    """Scores of the regional side; with `region`, only those of its countries' items."""
    found = []
    members = () if region is None else find_region(region).members
    for key, row in tasks.items():
        if row.side != "regional" or row.metric != metric:
            continue
        if region is None:
            found.append(_Score(key, row.score, row.se, row.n, row.floor, row.ceiling))
        found += [
            _Score(f"{key}:{country}", part.score, part.se, part.n, row.floor, row.ceiling)
            for country, part in row.by_country.items()
            if country in members
        ]
    return found


def _items(rows: Mapping[float, Mapping[str, CurveRow]], region: str, metric: str) -> int:
    counts = [sum(s.n for s in _regional(tasks, metric, region)) for tasks in rows.values()]
    return min(counts, default=0)


def _point(
    beta: float, tasks: Mapping[str, CurveRow], metric: str, alpha: float, region: str | None
) -> Point | None:
    world = [
        _Score(key, row.score, row.se, row.n, row.floor, row.ceiling)
        for key, row in tasks.items()
        if row.side == "global" and row.metric == metric
    ]
    regional = _regional(tasks, metric, region)
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
