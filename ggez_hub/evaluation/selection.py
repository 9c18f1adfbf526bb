"""Parity along a card's curve: from its stored scores to a trade-off, without a model.

Scores are normalised by their floor; `grp_raw` is the paper's arithmetic (arXiv 2604.11490) on the
scores as they are.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ggez_hub.cards import CurveRow
from ggez_hub.cards.curve import CountryScore
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.betas import Beta, read_key
from ggez_hub.evaluation.scales import decisive
from ggez_hub.evaluation.trade_off import Z95, Point, Side, Trade
from ggez_hub.regions import find_region, grp, normalised

Split = Literal["validation", "test"]
Curve = Mapping[str, Mapping[str, CurveRow]]

# With fewer items of the requested country than this, its own curve is too noisy to choose by.
MIN_ITEMS = 100


class NoCurve(GgezError):
    """A card holds no scores from which a beta could be chosen."""


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
        parts = {name: part for name, part in row.by_country.items() if name in members}
        if region is None:
            found.append(_Score(key, row.score, row.se, row.n, row.floor, row.ceiling))
        elif parts and row.average in ("questions", "countries"):
            # Of another average the scores by country do not tell that of several countries.
            found.append(_over(f"{key}:{'+'.join(parts)}", row, list(parts.values())))
    return found


def _over(name: str, row: CurveRow, parts: Sequence[CountryScore]) -> _Score:
    """A task's score on some of its countries, averaged as the task is."""
    n = sum(part.n for part in parts)
    shares = [1 / len(parts) if row.average == "countries" else part.n / n for part in parts]
    pairs = list(zip(shares, parts, strict=True))
    score = math.fsum(share * part.score for share, part in pairs)
    se = math.hypot(*(share * part.se for share, part in pairs))
    return _Score(name, score, se, n, row.floor, row.ceiling)


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
