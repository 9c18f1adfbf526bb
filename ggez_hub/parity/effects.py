"""What a beta gains and what it keeps, as paired differences on one split, with 95 % intervals."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import (
    Interval,
    estimate_grp,
    estimate_grp_difference,
    estimate_share,
    estimate_side,
    estimate_side_difference,
    estimate_surplus,
)
from ggez_hub.parity.policy import DEFAULT_SHARE


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
        """The effects as JSON."""
        return {
            "kept": self.kept,
            "share": self.share,
            "kept_margin": _as_json(self.kept_margin),
            "loss": _as_json(self.loss),
            "gain": _as_json(self.gain),
            "over_adapter": _as_json(self.over_adapter),
        }


def effects(curve: ParityCurve, index: int, alpha: float, share: float | None = None) -> Effects:
    """The effects of the beta at place `index`; `share` is 0.98 where the policy names none."""
    share = DEFAULT_SHARE if share is None else share
    base, adapter = curve.base, curve.index(1.0)
    kept = margin = loss = None
    if curve.others is not None and base is not None:
        margin = estimate_surplus(curve.moments, index, kept=share, base=base)
        loss = estimate_side_difference(curve.moments, "others", base, index)
        if others_interval(curve, base).low > 0:
            kept = curve.others.above[index] / curve.others.above[base]
    return Effects(
        share,
        kept,
        margin,
        loss,
        None if base is None else grp_difference(curve, index, base, alpha),
        None if adapter is None else grp_difference(curve, index, adapter, alpha),
    )


def grp_interval(curve: ParityCurve, index: int, alpha: float) -> Interval:
    """GRP above chance at one beta."""
    return estimate_grp(curve.moments, alpha, index)


def grp_difference(curve: ParityCurve, index: int, other: int, alpha: float) -> Interval:
    """GRP(index) - GRP(other), paired by picture."""
    return estimate_grp_difference(curve.moments, alpha, index, other)


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


def others_interval(curve: ParityCurve, index: int) -> Interval:
    """Q_others above chance at one beta."""
    return estimate_side(curve.moments, "others", index)


def regional_interval(curve: ParityCurve, index: int) -> Interval:
    """Q_regional above chance at one beta."""
    return estimate_side(curve.moments, "regional", index)


def side_interval(curve: ParityCurve, side: int, index: int) -> Interval | None:
    """The score of a side as it is, from 0 to 100; None where the side has no items."""
    found = curve.sides[side]
    if found is None:
        return None
    return estimate_share(found.score[index], found.se[index], found.pictures)


def _as_json(found: Interval | None) -> dict[str, object] | None:
    return None if found is None else found.as_dict()
