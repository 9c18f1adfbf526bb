"""What a beta gains and what it keeps, as paired differences on one split, with 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import (
    LEVEL,
    Interval,
    estimate_grp_difference,
    estimate_side,
    estimate_side_difference,
    estimate_surplus,
    interval_json,
)
from ggez_hub.parity.moments import OTHERS, Moments
from ggez_hub.parity.policy import DEFAULT_SHARE
from ggez_hub.parity.score_intervals import NORMAL
from ggez_hub.quantities import counted


@dataclass(frozen=True)
class Effects:
    """One beta against the base, and against the unmerged adapter (beta 1).

    Differences are in points, of scores above chance.

    kept         Q_others(b) / Q_others(0); None where nothing is outside the region, or the base
                 is at chance there
    kept_margin  Q_others(b) - share * Q_others(0), where `share` is what the policy keeps
    loss         Q_others(0) - Q_others(b)
    gain         GRP(b) - GRP(0)
    over_adapter GRP(b) - GRP(1)

    What needs a beta that was not measured, or a side without items, is None.
    """

    share: float
    kept: float | None
    kept_margin: Interval | None
    loss: Interval | None
    gain: Interval | None
    over_adapter: Interval | None

    def as_dict(self) -> dict[str, object]:
        return {
            "kept": self.kept,
            "share": self.share,
            "kept_margin": interval_json(self.kept_margin),
            "loss": interval_json(self.loss),
            "gain": interval_json(self.gain),
            "over_adapter": interval_json(self.over_adapter),
        }


def effects(curve: ParityCurve, index: int, alpha: float, share: float | None = None) -> Effects:
    """The effects of the beta at place `index`; `share` is 0.98 where the policy names none."""
    share = DEFAULT_SHARE if share is None else share
    moments, base, adapter = curve.moments, curve.base, curve.index(1.0)
    kept = margin = loss = None
    if curve.has_others and base is not None:
        margin = estimate_surplus(moments, index, kept=share, base=base)
        loss = estimate_side_difference(moments, OTHERS, base, index)
        if estimate_side(moments, OTHERS, base).low > 0:
            kept = float(moments.means[OTHERS, index] / moments.means[OTHERS, base])

    def gain_over(other: int | None) -> Interval | None:
        return None if other is None else estimate_grp_difference(moments, alpha, index, other)

    return Effects(share, kept, margin, loss, gain_over(base), gain_over(adapter))


def independent_difference(one: Interval, other: Interval) -> Interval:
    """one - other, where the two rest on different pictures.

    The limits are the square-and-add ones of Zou and Donner (2008, doi:10.1002/sim.3095), from those of
    the two.
    """
    value = one.value - other.value
    return Interval(
        value,
        math.hypot(one.se, other.se),
        value - math.hypot(one.value - one.low, other.high - other.value),
        value + math.hypot(one.high - one.value, other.value - other.low),
        one.pictures + other.pictures,
        one.refusal or other.refusal,
    )


POWER = 0.8
# A loss so near the margin, as a share of the base, is decided by no feasible number of pictures.
TOO_NEAR = 0.005
NOT_FEASIBLE = "no feasible number decides"


@dataclass(frozen=True)
class Needed:
    """The pictures that a gate of retention needs.

    loss          the estimated loss outside the region, as a share of what the base has there
    for_estimate  pictures that decide the gate if the loss is the estimated one; None where that is
                  within .005 of the margin
    for_no_loss   pictures that pass it if nothing is lost
    """

    loss: float
    for_estimate: int | None
    for_no_loss: int | None

    def __str__(self) -> str:
        estimated = (
            NOT_FEASIBLE if self.for_estimate is None else counted(self.for_estimate, "picture")
        )
        none = NOT_FEASIBLE if self.for_no_loss is None else counted(self.for_no_loss, "picture")
        return f"{estimated} for the estimated loss of {100 * self.loss:.1f} %, {none} if nothing is lost"


def pictures_for(effect: float, se: float, pictures: int) -> int | None:
    """The pictures with which a 95 % interval leaves 0 out in 80 % of repetitions.

    effect: the true figure; se: its standard error over `pictures`. None for an effect of 0.
    """
    if not (effect and math.isfinite(effect) and math.isfinite(se)) or pictures < 2:
        return None
    z = NORMAL.inv_cdf((1 + LEVEL) / 2) + NORMAL.inv_cdf(POWER)
    return max(2, math.ceil(pictures * (z * se / effect) ** 2))


def pictures_for_retention(
    moments: Moments, index: int, *, kept: float, base: int
) -> Needed | None:
    """The pictures that decide whether `kept` of Q_others of the base is kept at one beta.

    None where there is nothing to decide, at the base, and where that cannot be said: no items outside
    the region, or a base that is not above chance.
    """
    if index == base:
        return None
    found = estimate_surplus(moments, index, kept=kept, base=base)
    before = float(moments.means[OTHERS, base])
    if not (math.isfinite(found.value) and found.pictures >= 2 and before > 0):
        return None
    se = error_of(found)
    loss = 1 - float(moments.means[OTHERS, index]) / before
    near = abs(loss - (1 - kept)) < TOO_NEAR
    return Needed(
        loss,
        None if near else pictures_for(found.value, se, found.pictures),
        pictures_for((1 - kept) * before, se, found.pictures),
    )


def error_of(found: Interval) -> float:
    """The standard error that an interval implies: more than `se` where few pictures changed."""
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    return max(found.se, (found.high - found.low) / (2 * z))
