"""The choice of beta: one function, which everything that needs a beta calls.

parity        the highest GRP on validation (arXiv 2604.11490)
keep[=0.98]   the highest GRP among the betas b that keep this share of the base's Q_others above
              chance: D(b) = Q_others(b) - share * Q_others(0) is at least one standard error above 0.
              The standard error is of the paired difference, clustered by picture. Beta 0 qualifies.

Of equal GRPs the smaller beta is taken. docs/parity.md has the simulation that these rules rest on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.parity.betas import Beta, is_base, single
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import estimate_side
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL
from ggez_hub.parity.policy import PARITY, Policy

if TYPE_CHECKING:
    from ggez_hub.cards import AdapterCard

# A choice that rests on fewer pictures is weak, and that is printed with it.
FEW_PICTURES = 400
# Of GRP in points: far below any digit of a score, and above the rounding of sums of them.
ROUNDING = 1e-9
# Two crossings of GRPs nearer than this are one, met twice but for a float's rounding.
SAME = 1e-12
HINT = "Use --policy parity, or give a beta with --beta."


@dataclass(frozen=True)
class Choice:
    """A beta, chosen by a policy from a validation curve at an alpha."""

    policy: Policy
    alpha: float
    curve: ParityCurve
    index: int

    @property
    def point(self) -> Beta:
        return self.curve.betas[self.index]

    @property
    def beta(self) -> float:
        """The beta of the one adapter; raises UsageProblem for a composition."""
        return single(self.point)

    @property
    def pictures(self) -> int:
        """How many pictures the choice rests on: those of the smallest side that decides."""
        sides = (GLOBAL, REGIONAL) if self.policy.share is None else (GLOBAL, OTHERS, REGIONAL)
        return min(self.curve.moments.pictures[side] for side in sides)

    @property
    def grp(self) -> float:
        return self.curve.grp(self.index, self.alpha)

    @property
    def reason(self) -> str:
        rule = "the highest GRP"
        if self.policy.share is not None:
            rule += f" of the betas that pass {self.policy}"
        return (
            f"{rule} on validation ({self.grp:.2f}), by {self.curve.scale} on the items of "
            f"{self.curve.region}"
        )


def select_beta(
    measured: MeasuredCurve | None, alpha: float, region: str, policy: Policy = PARITY
) -> Choice:
    """The beta that `policy` chooses for `region` on the validation side of a curve.

    alpha is the globalisation factor of the requested region, from 0 to 1. Raises NoCurve, also
    where the policy cannot be applied.
    """
    return choose(ParityCurve.of(measured, "validation", region), alpha, policy)


def choose_for(
    card: AdapterCard,
    *,
    region: str | None = None,
    alpha: float | None = None,
    policy: Policy | None = None,
) -> Choice:
    """What a card's curve chooses: for its own region, at its own alpha, by the policy it declares.

    Each may be another. Raises as `select_beta` does.
    """
    return select_beta(
        card.measured,
        card.alpha.value if alpha is None else alpha,
        region or card.region,
        policy or Policy.parse(card.policy),
    )


def choose(curve: ParityCurve, alpha: float, policy: Policy = PARITY) -> Choice:
    """The same from a curve that was opened; raises NoCurve."""
    return Choice(policy, alpha, curve, highest(curve, alpha, eligible(curve, policy)))


def eligible(curve: ParityCurve, policy: Policy) -> tuple[int, ...]:
    """The places of the betas that a policy may take, whatever alpha is.

    Raises NoCurve where the region is at chance at every beta, or the policy cannot be applied.
    """
    if curve.is_at_chance:
        raise NoCurve(
            f"the curve for {curve.region} is at chance at every beta", "Give a beta with --beta."
        )
    everything = tuple(range(len(curve.betas)))
    if policy.share is None:
        return everything
    moments, share = curve.moments, policy.share
    base = _retainable_base(curve)

    def keeps(index: int) -> bool:
        value, se = moments.combine(moments.surplus(index, share, base))
        return is_base(curve.betas[index]) or value - se >= 0

    return tuple(filter(keeps, everything))


def highest(curve: ParityCurve, alpha: float, places: Sequence[int]) -> int:
    """The place of the highest GRP among `places`; the first of those that are equal to it."""
    values = {place: curve.grp(place, alpha) for place in places}
    best = max(values.values())
    return next(place for place in places if values[place] >= best - ROUNDING)


def _retainable_base(curve: ParityCurve) -> int:
    """The place of a base that is above chance outside the region; raises NoCurve."""
    base = curve.base
    if not curve.has_others:
        problem = "no item is outside the region"
    elif base is None:
        problem = "the base was not measured"
    elif estimate_side(curve.moments, OTHERS, base).low <= 0:
        problem = "outside the region the base is at chance, so there is nothing to keep"
    else:
        return base
    raise NoCurve(f"keep is undetermined: {problem}", HINT)


@dataclass(frozen=True)
class AlphaRange:
    """The beta that is chosen for every alpha between `low` and `high`."""

    beta: Beta
    low: float
    high: float

    def __contains__(self, alpha: object) -> bool:
        return isinstance(alpha, float | int) and self.low <= alpha <= self.high


def alpha_ranges(curve: ParityCurve, policy: Policy = PARITY) -> tuple[AlphaRange, ...]:
    """Every alpha from 0 to 1, cut where the choice changes: exact, without a grid.

    GRP at a beta is a straight line in alpha, and which betas a policy may take does not depend on
    alpha, so the choice changes only where two of these lines cross. Two neighbours choose
    differently; at the alpha where they meet either may be chosen. Raises NoCurve where the
    policy cannot be applied.
    """
    places = eligible(curve, policy)
    world, regional = (curve.moments.means[side] for side in (GLOBAL, REGIONAL))
    slopes = world - regional
    crossings = {
        float((regional[j] - regional[i]) / (slopes[i] - slopes[j]))
        for i, j in combinations(places, 2)
        if slopes[i] != slopes[j]
    }
    cuts = [0.0]
    for crossing in sorted(crossings):
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
