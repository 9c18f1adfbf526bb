"""Which beta is chosen at which alpha: exact ranges, without a grid.

GRP at a beta is a straight line in alpha, and its variance a quadratic. So the choice can change only
where two lines cross, or where a line is one standard error below another:

    (GRP_j - GRP_i)^2 = (alpha * se_global_j)^2 + ((1 - alpha) * se_regional_j)^2
                        + 2 alpha (1 - alpha) * covariance_j

which is quadratic in alpha. Between neighbouring roots nothing changes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, permutations

from ggez_hub.evaluation.betas import Beta
from ggez_hub.evaluation.trade_off import Point, choose

# Two roots nearer than this are one: the same crossing met twice, but for a float's rounding.
SAME = 1e-12


@dataclass(frozen=True)
class Stretch:
    """The beta that is chosen for every alpha between `low` and `high`."""

    beta: Beta
    low: float
    high: float

    def __contains__(self, alpha: object) -> bool:
        return isinstance(alpha, float | int) and self.low <= alpha <= self.high


def stretches(points: Sequence[Point]) -> tuple[Stretch, ...]:
    """The whole of alpha from 0 to 1, cut where the choice changes.

    points: by rising beta, at least one. Two neighbours choose differently; at the alpha where they
    meet either may be chosen.
    """
    cuts = [0.0]
    for root in sorted({r for pair in permutations(points, 2) for r in _roots(*pair)}):
        if root - cuts[-1] > SAME and root < 1 - SAME:
            cuts.append(root)
    found: list[Stretch] = []
    for low, high in pairwise([*cuts, 1.0]):
        beta = chosen_at(points, (low + high) / 2)
        if found and found[-1].beta == beta:
            found[-1] = Stretch(beta, found[-1].low, high)
        else:
            found.append(Stretch(beta, low, high))
    return tuple(found)


def chosen_at(points: Sequence[Point], alpha: float) -> Beta:
    """The beta that the rule chooses at one alpha."""
    parities = [alpha * p.q_global.normalised + (1 - alpha) * _regional(p) for p in points]
    return points[choose(parities, [p.se_at(alpha) for p in points])].beta


def _regional(point: Point) -> float:
    return point.q_regional.normalised


def _roots(best: Point, other: Point) -> Iterator[float]:
    """Where `other` meets `best`, and where it is one standard error of `best` below it."""
    at_zero = _regional(best) - _regional(other)
    slope = best.q_global.normalised - other.q_global.normalised - at_zero
    if slope != 0:
        yield -at_zero / slope
    g, r = best.q_global.se_normalised**2, best.q_regional.se_normalised**2
    both = best.covariance
    yield from _quadratic(
        slope * slope - g - r + 2 * both,
        2 * (at_zero * slope + r - both),
        at_zero * at_zero - r,
    )


def _quadratic(a: float, b: float, c: float) -> Iterator[float]:
    """The real roots of a x^2 + b x + c, without the cancellation of the school formula."""
    if a == 0:
        if b != 0:
            yield -c / b
        return
    discriminant = b * b - 4 * a * c
    if discriminant < 0:
        return
    q = -(b + math.copysign(math.sqrt(discriminant), b)) / 2
    yield q / a
    if q != 0:
        yield c / q
