"""A card's curve on one split, seen for a region: the sides of parity at every beta.

GRP(beta) = alpha * Q_global + (1 - alpha) * Q_regional (arXiv 2604.11490) of scores above chance;
`grp_raw` is the paper's arithmetic on the scores as they are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace

import numpy as np

from ggez_hub.cards.curve import MeasuredCurve, Split, SplitParity
from ggez_hub.parity.betas import Beta, betas_of, is_base, point, read_key
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
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL, SIDES, Floats, Moments


@dataclass(frozen=True, eq=False)
class ParityCurve:
    """The sides of parity at every beta of a grid, on one split and scale.

    betas       from the smallest
    moments     the scores of the sides at these betas and how they covary
    region      whose items are the regional side
    at_chance   tasks that were left out: they are above chance at no beta
    is_at_chance  whether no task of the regional side is above chance at any beta
    is_joint    whether what the errors share is known; otherwise sides and betas are taken as
                independent, which widens paired differences
    """

    betas: tuple[Beta, ...]
    moments: Moments
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
            found = cls.of_record(record, measured.region, rows)
            return _for_part(found, rows, part) if part else found
        return _independent(measured, rows, measured_by, scale, part, region)

    @classmethod
    def of_record(
        cls, record: SplitParity, region: str, rows: RowsByBeta | None = None
    ) -> ParityCurve:
        """The curve that a record holds; `rows` say which tasks the record leaves out."""
        named = {
            task_of(key)
            for tasks in (rows or {}).values()
            for key, row in tasks.items()
            if row.scale == record.scale
        }
        return cls(
            betas=tuple(read_key(key) for key in record.betas),
            moments=_recorded(record),
            scale=record.scale,
            region=region,
            measured_by=record.measured_by,
            at_chance=tuple(sorted(named - set(record.tasks))),
            is_at_chance=record.regional_at_chance,
            is_joint=True,
        )

    @property
    def has_others(self) -> bool:
        return self.moments.pictures[OTHERS] > 0

    @property
    def base(self) -> int | None:
        """The place of beta 0 among the betas, if it was measured."""
        return next((i for i, beta in enumerate(self.betas) if is_base(beta)), None)

    def index(self, beta: Beta) -> int | None:
        """The place of `beta` among the betas, if it was measured."""
        return next((i for i, known in enumerate(self.betas) if _same(known, beta)), None)

    def grp(self, index: int, alpha: float) -> float:
        means = self.moments.means[:, index]
        return grp(float(means[GLOBAL]), float(means[REGIONAL]), alpha, chance_corrected=True)

    def grp_raw(self, index: int, alpha: float) -> float:
        """GRP of the scores as they are: the paper's arithmetic."""
        scores = self.moments.scores[:, index]
        return grp(float(scores[GLOBAL]), float(scores[REGIONAL]), alpha)

    def reordered(self, places: tuple[int, ...]) -> ParityCurve:
        """The same with the betas of each point in another order of adapters."""
        return replace(
            self,
            betas=tuple(point([betas_of(beta)[place] for place in places]) for beta in self.betas),
        )


def _same(one: Beta, other: Beta) -> bool:
    each, others = betas_of(one), betas_of(other)
    return len(each) == len(others) and all(map(math.isclose, each, others))


def _recorded(record: SplitParity) -> Moments:
    """The moments that a card records; a side may have the numbers of another, or none."""
    stored, count = record.stored_sides, len(record.betas)
    blocks = {GLOBAL: 0, REGIONAL: len(stored) - 1}
    if record.q_others != "none":
        blocks[OTHERS] = 0 if record.q_others == "q_global" else 1
    shape = (len(stored), count)
    covariance = _symmetric(record.covariance).reshape(*shape, *shape)
    found = _unknown(count)
    for side, block in blocks.items():
        own = stored[block]
        found.means[side], found.scores[side] = own.above_chance, own.score
        found.errors[side], found.floors[side] = own.se, own.floor
        found.changed[side] = 0
        found.changed[side, 1:, :-1] += np.tril(_symmetric(record.changed[block]))
        found.changed[side] += found.changed[side].T
        for other, column in blocks.items():
            found.covariance[side, :, other] = covariance[block, :, column]
    return replace(
        found,
        pictures=tuple(stored[blocks[s]].pictures if s in blocks else 0 for s in SIDES),
    )


def _symmetric(rows: list[str]) -> Floats:
    lower = np.zeros((len(rows), len(rows)))
    for number, row in enumerate(rows, 1):
        lower[number - 1, :number] = [float(value) for value in row.split(" ")]
    return lower + np.tril(lower, -1).T


def _unknown(count: int) -> Moments:
    """Moments of so many betas of which nothing is known."""
    shape = (len(SIDES), count)
    means, scores, errors = (np.full(shape, math.nan) for _ in range(3))
    floors, changed = np.full(len(SIDES), math.nan), np.full((*shape, count), math.nan)
    return Moments(means, np.zeros((*shape, *shape)), scores, errors, floors, (0, 0, 0), changed)


def _with_side(moments: Moments, side: int, scores: Sequence[SideScore]) -> Moments:
    """The moments with a side whose errors share nothing with anything else."""
    found = deepcopy(moments)
    found.means[side] = [score.above for score in scores]
    found.scores[side] = [score.score for score in scores]
    found.errors[side] = [score.se for score in scores]
    found.floors[side] = math.fsum(score.floor for score in scores) / len(scores)
    found.covariance[side] = found.covariance[:, :, side] = 0
    found.covariance[side, :, side] = np.diag([score.se_above**2 for score in scores])
    found.changed[side] = math.nan
    pictures = list(moments.pictures)
    pictures[side] = min(score.n for score in scores)
    return replace(found, pictures=tuple(pictures))


def _for_part(found: ParityCurve, rows: RowsByBeta, region: str) -> ParityCurve:
    """The curve with the regional side of a country within its region.

    What the errors of that side share with the others is not recorded. Raises NoCurve.
    """
    without = frozenset(found.at_chance)
    scores = [regional_side(rows.get(b, {}), found.scale, without, region) for b in found.betas]
    complete = [score for score in scores if score is not None]
    if len(complete) < len(scores):
        raise NoCurve(f"the curve for {region} has no scores at some betas", "Give --beta.")
    moments = _with_side(found.moments, REGIONAL, complete)
    return replace(found, moments=moments, region=region, is_joint=False)


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
    betas: list[Beta] = []
    sides: dict[int, list[SideScore]] = {side: [] for side in SIDES}
    for beta, tasks in sorted(rows.items()):
        world = global_side(tasks, scale, left_out)
        regional = regional_side(tasks, scale, left_out, part)
        if world is None or regional is None:
            continue
        betas.append(beta)
        sides[GLOBAL].append(world)
        sides[REGIONAL].append(regional)
        if (others := others_side(tasks, scale, left_out, measured.region)) is not None:
            sides[OTHERS].append(others)
    if not betas:
        raise NoCurve(
            f"the curve for {region} has no scores of both sides", "Give a beta with --beta."
        )
    moments = _unknown(len(betas))
    for side, scores in sides.items():
        if len(scores) == len(betas):
            moments = _with_side(moments, side, scores)
    return ParityCurve(
        betas=tuple(betas),
        moments=moments,
        scale=scale,
        region=part or measured.region,
        measured_by=measured_by,
        at_chance=tuple(sorted(at_chance)),
        is_at_chance=is_at_chance,
        is_joint=False,
    )
