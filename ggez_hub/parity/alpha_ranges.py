"""Which beta is chosen at which alpha: exact ranges, without a grid.

GRP at a beta is a straight line in alpha, and which betas a policy may take does not depend on alpha.
So the choice changes only where two of these lines cross.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, pairwise

from ggez_hub.parity.betas import Beta
from ggez_hub.parity.choice import eligible, highest
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.policy import PARITY, Policy

# Two crossings nearer than this are one, met twice but for a float's rounding.
SAME = 1e-12


@dataclass(frozen=True)
class AlphaRange:
    """The beta that is chosen for every alpha between `low` and `high`."""

    beta: Beta
    low: float
    high: float

    def __contains__(self, alpha: object) -> bool:
        return isinstance(alpha, float | int) and self.low <= alpha <= self.high


def alpha_ranges(curve: ParityCurve, policy: Policy = PARITY) -> tuple[AlphaRange, ...]:
    """Every alpha from 0 to 1, cut where the choice changes.

    Two neighbours choose differently; at the alpha where they meet either may be chosen. Raises
    Undetermined where the policy cannot be applied.
    """
    places = eligible(curve, policy)
    cuts = [0.0]
    for crossing in sorted(
        {c for pair in combinations(places, 2) for c in _crossing(curve, *pair)}
    ):
        if crossing - cuts[-1] > SAME and crossing < 1 - SAME:
            cuts.append(crossing)
    found: list[AlphaRange] = []
    for low, high in pairwise([*cuts, 1.0]):
        beta = curve.betas[highest(curve, (low + high) / 2, places)]
        if found and found[-1].beta == beta:
            found[-1] = AlphaRange(beta, found[-1].low, high)
        else:
            found.append(AlphaRange(beta, low, high))
    return tuple(found)


def _crossing(curve: ParityCurve, one: int, other: int) -> Iterator[float]:
    """The alpha at which two betas have the same GRP, if there is one in (0, 1)."""
    at_zero = curve.regional.above[one] - curve.regional.above[other]
    slope = curve.world.above[one] - curve.world.above[other] - at_zero
    if slope and 0 < -at_zero / slope < 1:
        yield -at_zero / slope
