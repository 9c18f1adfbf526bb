"""A card's curve on one split, seen for a region: the sides of parity at every beta.

GRP(beta) = alpha * Q_global + (1 - alpha) * Q_regional (arXiv 2604.11490) of scores above chance;
`grp_raw` is the paper's arithmetic on the scores as they are.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.cards.curve import MeasuredCurve, SideScores, Split, SplitParity
from ggez_hub.parity.betas import Beta, betas_of, is_base, read_key
from ggez_hub.parity.card_rows import (
    MIN_ITEMS,
    NoCurve,
    RowsByBeta,
    SideScore,
    global_side,
    measured_rows,
    others_side,
    regional_items,
    regional_side,
    scale_of,
    task_of,
    tasks_at_chance,
    tasks_not_everywhere,
)
from ggez_hub.parity.grp import grp

if TYPE_CHECKING:
    from ggez_hub.parity.moments import Moments

GLOBAL, OTHERS, REGIONAL = range(3)
Numbers: TypeAlias = tuple[float, ...]


@dataclass(frozen=True)
class SideCurve:
    """One side at every beta, on 0-100: as scored, and above chance with the errors of both.

    `pictures` is the number of different pictures, or of items where pictures are not recorded.
    """

    score: Numbers
    above: Numbers
    se: Numbers
    floor: float
    pictures: int


@dataclass(frozen=True, eq=False)
class ParityCurve:
    """The sides of parity at every beta of a grid, on one split and scale.

    betas       from the smallest
    others      None where no item is outside the region
    covariance  of the scores above chance: rows and columns are global at each beta, others at each
                beta, regional at each beta
    changed     for each side, the effective number of pictures whose score differs between two betas;
                None where it is not known
    region      whose items are the regional side
    at_chance   tasks that were left out: they are above chance at no beta
    is_at_chance  whether no task of the regional side is above chance at any beta
    is_joint    whether what the errors share is known; otherwise sides and betas are taken as
                independent, which widens paired differences
    """

    betas: tuple[Beta, ...]
    world: SideCurve
    others: SideCurve | None
    regional: SideCurve
    covariance: tuple[Numbers, ...]
    changed: tuple[tuple[Numbers, ...] | None, ...]
    scale: str
    region: str
    measured_by: str
    at_chance: tuple[str, ...]
    is_at_chance: bool
    is_joint: bool

    @classmethod
    def of(cls, measured: MeasuredCurve | None, split: Split, region: str) -> ParityCurve:
        """The curve on `split` for `region`, which may be inside the curve's own.

        The regional side is that of the requested region: its own items, or the complete side where
        it is the curve's region or has fewer than 100 items (`region` says which). Raises NoCurve.
        """
        if measured is None:
            raise NoCurve("the card holds no curve", "Give a beta with --beta.")
        rows, measured_by = measured_rows(measured.rows, split)
        scale = scale_of(measured.rows, split)
        inside = region != measured.region and regional_items(rows, region, scale) >= MIN_ITEMS
        part = region if inside else None
        if not measured.parity:
            raise NoCurve(
                "no GRP: an interval needs at least two pictures a side, and the same tasks at every beta",
                "Give a beta with --beta.",
            )
        record = None if measured.parity == "independent" else measured.parity.get(split)
        if record and (record.measured_by, record.scale) == (measured_by, scale):
            found = _recorded(record, rows, measured.region)
            return _for_part(found, rows, part) if part else found
        return _independent(measured, rows, measured_by, scale, part, region)

    @classmethod
    def of_record(cls, record: SplitParity, region: str) -> ParityCurve:
        """The curve that a record holds, without the scores of single tasks."""
        return _recorded(record, {}, region)

    @property
    def sides(self) -> tuple[SideCurve | None, ...]:
        """Global, others, regional."""
        return (self.world, self.others, self.regional)

    @property
    def base(self) -> int | None:
        """The place of beta 0 among the betas, if it was measured."""
        return next((i for i, beta in enumerate(self.betas) if is_base(beta)), None)

    def index(self, beta: Beta) -> int | None:
        """The place of `beta` among the betas, if it was measured."""
        return next((i for i, known in enumerate(self.betas) if _same(known, beta)), None)

    def grp(self, index: int, alpha: float) -> float:
        """GRP above chance at the beta of this place."""
        return grp(
            self.world.above[index], self.regional.above[index], alpha, chance_corrected=True
        )

    def grp_raw(self, index: int, alpha: float) -> float:
        """GRP of the scores as they are: the paper's arithmetic."""
        return grp(self.world.score[index], self.regional.score[index], alpha)

    def shared(self, side: int, index: int, other_side: int, other_index: int) -> float:
        """The covariance of two scores above chance."""
        count = len(self.betas)
        return self.covariance[side * count + index][other_side * count + other_index]

    def reordered(self, places: tuple[int, ...]) -> ParityCurve:
        """The same with the betas of each point in another order of adapters."""
        from ggez_hub.parity.betas import point

        return replace(
            self,
            betas=tuple(point([betas_of(beta)[place] for place in places]) for beta in self.betas),
        )

    @cached_property
    def moments(self) -> Moments:
        """The same as arrays."""
        import numpy as np

        from ggez_hub.parity.moments import Moments

        count = len(self.betas)
        empty = (math.nan,) * count
        return Moments(
            means=np.array([side.above if side else empty for side in self.sides]),
            covariance=np.array(self.covariance).reshape(3, count, 3, count),
            scores=np.array([side.score if side else empty for side in self.sides]),
            errors=np.array([side.se if side else empty for side in self.sides]),
            floors=np.array([side.floor if side else math.nan for side in self.sides]),
            pictures=(
                self.world.pictures,
                self.others.pictures if self.others else 0,
                self.regional.pictures,
            ),
            changed=np.array(
                [
                    np.full((count, count), math.nan) if side is None else np.array(side)
                    for side in self.changed
                ]
            ),
        )


def _same(one: Beta, other: Beta) -> bool:
    each, others = betas_of(one), betas_of(other)
    return len(each) == len(others) and all(map(math.isclose, each, others))


def _recorded(record: SplitParity, rows: RowsByBeta, region: str) -> ParityCurve:
    """The curve from what the card records jointly."""
    world = _side(record.q_global)
    others = record.q_others
    named = {
        task_of(key)
        for tasks in rows.values()
        for key, row in tasks.items()
        if row.scale == record.scale
    }
    return ParityCurve(
        betas=tuple(read_key(key) for key in record.betas),
        world=world,
        others=_side(others)
        if isinstance(others, SideScores)
        else world
        if others == "q_global"
        else None,
        regional=_side(record.q_regional),
        covariance=_square(record),
        changed=_changed(record),
        scale=record.scale,
        region=region,
        measured_by=record.measured_by,
        at_chance=tuple(sorted(named - set(record.tasks))),
        is_at_chance=record.regional_at_chance,
        is_joint=True,
    )


def _side(found: SideScores) -> SideCurve:
    return SideCurve(
        tuple(found.score), tuple(found.above_chance), tuple(found.se), found.floor, found.pictures
    )


def _square(record: SplitParity) -> tuple[Numbers, ...]:
    """The full covariance of the three sides from the stored lower triangle."""
    lower = _triangle(record.covariance)
    count = len(record.betas)
    stored = _blocks(record)
    places = [
        None if block is None else block * count + index
        for block in stored
        for index in range(count)
    ]

    def value(row: int | None, column: int | None) -> float:
        if row is None or column is None:
            return 0.0
        return lower[max(row, column)][min(row, column)]

    return tuple(tuple(value(row, column) for column in places) for row in places)


def _changed(record: SplitParity) -> tuple[tuple[Numbers, ...] | None, ...]:
    """For each side the full matrix of changed pictures from the stored triangle."""
    places = range(len(record.betas))
    lower = [_triangle(rows) for rows in record.changed]

    def value(block: int, row: int, column: int) -> float:
        return 0.0 if row == column else lower[block][max(row, column) - 1][min(row, column)]

    return tuple(
        None if block is None else tuple(tuple(value(block, r, c) for c in places) for r in places)
        for block in _blocks(record)
    )


def _triangle(rows: list[str]) -> list[list[float]]:
    return [[float(part) for part in row.split(" ")] for row in rows]


def _blocks(record: SplitParity) -> tuple[int | None, ...]:
    """Which stored block the numbers of each side are; others may have global's, or none."""
    if isinstance(record.q_others, str):
        return (0, 0, 1) if record.q_others == "q_global" else (0, None, 1)
    return (0, 1, 2)


def _for_part(found: ParityCurve, rows: RowsByBeta, region: str) -> ParityCurve:
    """The curve with the regional side of a country within its region.

    What the errors of that side share with the others is not recorded. Raises NoCurve.
    """
    scores = [
        regional_side(rows.get(beta, {}), found.scale, frozenset(found.at_chance), region)
        for beta in found.betas
    ]
    complete = [score for score in scores if score is not None]
    if len(complete) < len(scores):
        raise NoCurve(f"the curve for {region} has no scores at some betas", "Give --beta.")
    first = 2 * len(found.betas)

    def value(row: int, column: int) -> float:
        if max(row, column) < first:
            return found.covariance[row][column]
        return complete[row - first].se_above ** 2 if row == column else 0.0

    size = 3 * len(found.betas)
    return replace(
        found,
        regional=_curve_of(complete),
        covariance=tuple(tuple(value(r, c) for c in range(size)) for r in range(size)),
        changed=(*found.changed[:2], None),
        region=region,
        is_joint=False,
    )


def _independent(
    measured: MeasuredCurve,
    rows: RowsByBeta,
    measured_by: str,
    scale: str,
    part: str | None,
    region: str,
) -> ParityCurve:
    """The curve of a card that does not record what its errors share."""
    select, _ = measured_rows(measured.rows, "validation")
    at_chance, is_at_chance = tasks_at_chance(select if any(select.values()) else rows, scale)
    left_out = at_chance | tasks_not_everywhere(rows, scale)
    found: dict[Beta, tuple[SideScore, SideScore | None, SideScore]] = {}
    for beta, tasks in sorted(rows.items()):
        world = global_side(tasks, scale, left_out)
        regional = regional_side(tasks, scale, left_out, part)
        if world and regional:
            found[beta] = world, others_side(tasks, scale, left_out, measured.region), regional
    if not found:
        raise NoCurve(
            f"the curve for {region} has no scores of both sides", "Give a beta with --beta."
        )
    worlds, others, regionals = zip(*found.values(), strict=True)
    count = len(found)
    there = [other for other in others if other is not None]
    variances = [
        *(side.se_above**2 for side in worlds),
        *((side.se_above**2 if side else 0.0) for side in others),
        *(side.se_above**2 for side in regionals),
    ]
    size = 3 * count
    return ParityCurve(
        betas=tuple(found),
        world=_curve_of(worlds),
        others=_curve_of(there) if len(there) == count else None,
        regional=_curve_of(regionals),
        covariance=tuple(
            tuple(variances[row] if row == column else 0.0 for column in range(size))
            for row in range(size)
        ),
        changed=(None, None, None),
        scale=scale,
        region=part or measured.region,
        measured_by=measured_by,
        at_chance=tuple(sorted(at_chance)),
        is_at_chance=is_at_chance,
        is_joint=False,
    )


def _curve_of(scores: list[SideScore] | tuple[SideScore, ...]) -> SideCurve:
    return SideCurve(
        tuple(s.score for s in scores),
        tuple(s.above for s in scores),
        tuple(s.se for s in scores),
        math.fsum(s.floor for s in scores) / len(scores),
        min(s.n for s in scores),
    )
