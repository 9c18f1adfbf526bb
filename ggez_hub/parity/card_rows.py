"""The sides of parity from the rows of a card's curve, beta by beta.

Rows do not say what tasks and betas share, so their errors are taken as independent.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import NormalDist
from typing import TypeAlias, TypeVar

from ggez_hub.cards.curve import CountryScore, CurveRow, Rows, Split
from ggez_hub.errors import GgezError
from ggez_hub.parity.betas import Beta, read_key
from ggez_hub.parity.grp import normalised
from ggez_hub.regions import find_region

# With fewer items of the requested country than this, its own curve is too noisy to choose by.
MIN_ITEMS = 100
# One-sided, for all betas of a task together.
CHANCE_LEVEL = 0.025
# Scales that are taken only where there is no other, the last resort last: how well a reply can be read
# is a part of a score by generation, and PMI takes away what the model prefers by itself.
LAST_RESORTS = ("choice_by_generation", "choice_by_pmi")

B = TypeVar("B")
RowsByBeta: TypeAlias = Mapping[Beta, Mapping[str, CurveRow]]


class NoCurve(GgezError):
    """There are no scores from which a beta could be chosen, or the policy cannot choose one."""


@dataclass(frozen=True)
class SideScore:
    """A side or task at one beta: the mean over its tasks, as scored and above chance (0-100).

    `se` and `se_above` take tasks as independent. `n` is the number of items of the smallest task.
    """

    score: float
    above: float
    se: float
    se_above: float
    floor: float
    n: int


def task_of(key: str) -> str:
    """The id of the task in a curve's key, which is `<task id>/<split>`."""
    return key.rpartition("/")[0] or key


def measured_rows(rows: Rows, split: Split) -> tuple[RowsByBeta, str]:
    """The rows of a split: those that the registry measured, or the author's where it has none."""
    found = {
        read_key(beta): tasks for beta, tasks in _only(rows, lambda row: row.split == split).items()
    }
    by_registry = _only(found, lambda row: row.measured_by == "registry")
    return (by_registry, "registry") if any(by_registry.values()) else (found, "self")


def ranking_rows(curve: Rows) -> dict[str, dict[str, CurveRow]]:
    """The rows of a curve that rank its adapter; empty if none do.

    They are what the registry measured on validation, on the scale that parity is computed on.
    """
    measured = _only(curve, lambda row: row.split == "validation" and row.measured_by == "registry")
    try:
        scale = parity_scale(measured)
    except NoCurve:
        return {}
    return _only(measured, lambda row: row.scale == scale and row.side in ("global", "regional"))


def parity_scale(rows: Mapping[B, Mapping[str, CurveRow]]) -> str:
    """The scale that parity is computed on: of those on both sides, the one least guessable.

    Scores of different metrics, or of different judges, are never averaged. Raises NoCurve.
    """
    floors: dict[str, float] = {}
    sides: dict[str, set[str]] = {"global": set(), "others": set(), "regional": set()}
    for tasks in rows.values():
        for row in tasks.values():
            if row.side == "safety":
                continue
            sides[row.side].add(row.scale)
            floors[row.scale] = max(floors.get(row.scale, 0.0), row.floor)
    usable = sides["global"] & sides["regional"]
    if not usable:
        named = {side: ", ".join(sorted(scales)) or "nothing" for side, scales in sides.items()}
        raise NoCurve(
            f"no GRP: the global side is measured by {named['global']}, the regional side by "
            f"{named['regional']}",
            "Scores of different metrics or judges are never averaged. Give a beta with --beta.",
        )
    return decisive({scale: floors[scale] for scale in usable})


def decisive(floors: Mapping[str, float]) -> str:
    """The scale for parity: the least guessable; by PMI or by generation only where there is no other.

    floors: scale -> what guessing gets; at least one.
    """

    def resort(scale: str) -> int:
        return next((n for n, last in enumerate(LAST_RESORTS, 1) if scale.startswith(last)), 0)

    return min(floors, key=lambda scale: (resort(scale), floors[scale], scale))


def scale_of(rows: Rows, split: Split) -> str:
    """The scale that parity is computed on: that of validation where it has one, on both splits.

    Raises NoCurve.
    """
    validation, _ = measured_rows(rows, "validation")
    return parity_scale(validation if any(validation.values()) else measured_rows(rows, split)[0])


def tasks_not_everywhere(rows: RowsByBeta, scale: str) -> frozenset[str]:
    """The tasks of a scale that some beta with both sides lacks: means would be of other tasks."""
    named = [
        {task_of(key) for key, row in tasks.items() if row.scale == scale}
        for tasks in rows.values()
        if {"global", "regional"} <= {row.side for row in tasks.values() if row.scale == scale}
    ]
    everywhere = set.intersection(*named) if named else set()
    return frozenset(name for tasks in named for name in tasks if name not in everywhere)


def tasks_at_chance(rows: RowsByBeta, scale: str) -> tuple[frozenset[str], bool]:
    """The tasks that leave the choice, above chance at no beta; whether the regional side has no other.

    The bound is Bonferroni's and holds for all betas together: rows do not say how the scores at two
    betas vary together. A side all of whose tasks are at chance keeps them, for there is no other
    figure of it.
    """
    z = NormalDist().inv_cdf(1 - CHANCE_LEVEL / max(1, len(rows)))
    sides: dict[str, dict[str, bool]] = {}
    for tasks in rows.values():
        for key, row in tasks.items():
            if row.scale == scale:
                above, name = sides.setdefault(row.side, {}), task_of(key)
                above[name] = above.get(name, False) or row.score - z * row.se > row.floor
    return tasks_to_leave_out(sides)


def tasks_to_leave_out(above: Mapping[str, Mapping[str, bool]]) -> tuple[frozenset[str], bool]:
    """Of side -> task -> whether it is above chance: what `tasks_at_chance` returns."""
    left_out = {
        name
        for tasks in above.values()
        if any(tasks.values())
        for name, is_above in tasks.items()
        if not is_above
    }
    return frozenset(left_out), not any(above.get("regional", {}).values())


def regional_items(rows: RowsByBeta, region: str, scale: str) -> int:
    """How many regional items are about `region`, at the beta that has the fewest."""
    counts = [
        sum(part.n for part in _of_region(_on_scale(tasks, scale), region))
        for tasks in rows.values()
    ]
    return min(counts, default=0)


def global_side(
    tasks: Mapping[str, CurveRow], scale: str, without: frozenset[str]
) -> SideScore | None:
    """The global side at one beta; None where it has no task."""
    rows = _on_scale(tasks, scale, without)
    return _mean([_complete(row) for row in rows if row.side == "global"])


def others_side(
    tasks: Mapping[str, CurveRow], scale: str, without: frozenset[str], region: str
) -> SideScore | None:
    """The items outside the region at one beta, from the scores by country; None without any."""
    members = frozenset(find_region(region).members)
    rows = _on_scale(tasks, scale, without)
    outside = (_outside(row, members) for row in rows if row.side in ("global", "others"))
    return _mean([part for part in outside if part is not None])


def regional_side(
    tasks: Mapping[str, CurveRow], scale: str, without: frozenset[str], region: str | None
) -> SideScore | None:
    """The regional side at one beta; with `region`, only its countries' items. None without any."""
    rows = _on_scale(tasks, scale, without)
    if region is not None:
        return _mean(_of_region(rows, region))
    return _mean([_complete(row) for row in rows if row.side == "regional"])


def _only(
    rows: Mapping[B, Mapping[str, CurveRow]], keep: Callable[[CurveRow], bool]
) -> dict[B, dict[str, CurveRow]]:
    return {
        beta: {key: row for key, row in tasks.items() if keep(row)} for beta, tasks in rows.items()
    }


def _on_scale(
    tasks: Mapping[str, CurveRow], scale: str, without: frozenset[str] = frozenset()
) -> list[CurveRow]:
    return [row for key, row in tasks.items() if row.scale == scale and task_of(key) not in without]


def _task(row: CurveRow, score: float, se: float, n: int) -> SideScore:
    """The score of one task, or of a part of its items."""
    span = 100.0 / (row.ceiling - row.floor)
    above = normalised(score, row.floor, row.ceiling)
    return SideScore(score, above, se, se * span, row.floor, n)


def _complete(row: CurveRow) -> SideScore:
    return _task(row, row.score, row.se, row.n)


def _of_region(rows: Iterable[CurveRow], region: str) -> list[SideScore]:
    members = find_region(region).members
    found = []
    for row in rows:
        parts = [part for country, part in row.by_country.items() if country in members]
        # Of another average the scores by country do not give that of several countries.
        if row.side == "regional" and parts and row.average in ("questions", "countries"):
            found.append(_over(row, parts))
    return found


def _over(row: CurveRow, parts: list[CountryScore]) -> SideScore:
    """A task's score on some of its countries, averaged as the task is."""
    n = sum(part.n for part in parts)
    shares = [1 / len(parts) if row.average == "countries" else part.n / n for part in parts]
    pairs = list(zip(shares, parts, strict=True))
    score = math.fsum(share * part.score for share, part in pairs)
    se = math.hypot(*(share * part.se for share, part in pairs))
    return _task(row, score, se, n)


def _outside(row: CurveRow, members: frozenset[str]) -> SideScore | None:
    """A task's score without the countries of the region; None where nothing is left."""
    inside = [part for country, part in row.by_country.items() if country in members]
    if not inside:
        return _complete(row)
    if row.average == "countries":
        parts = [part for country, part in row.by_country.items() if country not in members]
        return _over(row, parts) if parts else None
    n = row.n - sum(part.n for part in inside)
    if n <= 0 or row.average != "questions":
        return None
    total = row.score * row.n - math.fsum(part.score * part.n for part in inside)
    score = min(100.0, max(0.0, total / n))
    return _task(row, score, row.se * math.sqrt(row.n / n), n)


def _mean(parts: list[SideScore]) -> SideScore | None:
    if not parts:
        return None
    k = len(parts)
    return SideScore(
        score=math.fsum(part.score for part in parts) / k,
        above=math.fsum(part.above for part in parts) / k,
        se=math.hypot(*(part.se for part in parts)) / k,
        se_above=math.hypot(*(part.se_above for part in parts)) / k,
        floor=math.fsum(part.floor for part in parts) / k,
        n=min(part.n for part in parts),
    )
