"""How many pictures would decide a gate: four of five repetitions, at the variance that was found."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ggez_hub.parity.distributions import NORMAL
from ggez_hub.parity.intervals import KEPT, LEVEL, Interval, estimate_surplus
from ggez_hub.parity.moments import OTHERS, Moments

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
        estimated = NOT_FEASIBLE if self.for_estimate is None else f"{self.for_estimate:,} pictures"
        none = NOT_FEASIBLE if self.for_no_loss is None else f"{self.for_no_loss:,} pictures"
        return f"{estimated} for the estimated loss of {100 * self.loss:.1f} %, {none} if nothing is lost"


def pictures_for(effect: float, se: float, pictures: int, power: float = POWER) -> int | None:
    """The pictures with which a 95 % interval leaves 0 out in `power` of repetitions.

    effect: the true figure; se: its standard error over `pictures`. None for an effect of 0.
    """
    if not (effect and math.isfinite(effect) and math.isfinite(se)) or pictures < 2:
        return None
    z = NORMAL.inv_cdf((1 + LEVEL) / 2) + NORMAL.inv_cdf(power)
    return max(2, math.ceil(pictures * (z * se / effect) ** 2))


def pictures_for_retention(
    moments: Moments, index: int, *, kept: float = KEPT, base: int = 0
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
    """The standard error that an interval stands for: more than `se` where few pictures changed."""
    z = NORMAL.inv_cdf((1 + LEVEL) / 2)
    return max(found.se, (found.high - found.low) / (2 * z))
