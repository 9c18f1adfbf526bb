"""beta chosen again for another alpha, or for each average of alpha, from a stored curve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from ggez_hub.cards import AlphaRecord, CardDocument, alpha_record
from ggez_hub.command_line import command_line
from ggez_hub.errors import UsageProblem
from ggez_hub.parity.beta_choice import AlphaRange, Choice, alpha_ranges, choose
from ggez_hub.parity.betas import Beta, as_json
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.intervals import Interval, estimate_grp
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.policy_outcomes import PolicyOutcome, policy_outcomes
from ggez_hub.regions import Alpha, Region, alpha, fallback_chain
from ggez_hub.regions.globalisation import averages
from ggez_hub.regions.kof import INTERPERSONAL
from ggez_hub.registry.stored_curve import StoredCurve


@dataclass(frozen=True)
class Retuned:
    """The choice before and after, and for which alpha it stays.

    after    the choice at the new alpha
    taken    the beta that was taken before; None where the policy of then can choose none
    ranges   every alpha from 0 to 1, cut where the choice changes
    """

    stored: StoredCurve
    region: str
    alpha: AlphaRecord
    after: Choice
    taken: Beta | None
    ranges: tuple[AlphaRange, ...]

    @property
    def beta(self) -> Beta:
        return self.after.point

    @property
    def stays(self) -> AlphaRange:
        """The range around the new alpha over which its beta stays."""
        alpha = self.alpha.value
        around = (s for s in self.ranges if alpha in s and s.beta == self.beta)
        # Where two ranges meet, a third beta may be as good, and chosen there alone.
        return next(around, AlphaRange(self.beta, alpha, alpha))

    def chosen_at(self, alpha: float) -> Beta:
        """The beta for any alpha from 0 to 1; where two ranges meet, that of the lower."""
        return next(s.beta for s in self.ranges if alpha in s)

    @property
    def changed(self) -> bool:
        return self.beta != self.taken

    def test(self, beta: Beta) -> Interval | None:
        """GRP on the test side at the new alpha; None where beta was not measured there."""
        try:
            curve = self.stored.curve("test", self.region)
        except NoCurve:
            return None
        index = curve.index(beta)
        return None if index is None else estimate_grp(curve.moments, self.alpha.value, index)

    @property
    def policies(self) -> tuple[PolicyOutcome, ...]:
        return policy_outcomes(
            lambda split: self.stored.curve(split, self.region), self.alpha.value, self.after.policy
        )


def retune(
    stored: StoredCurve, region: Region, alpha: Alpha, policy: Policy | None = None
) -> Retuned:
    """Choose beta again for `region` with `alpha`, by the policy that chose before or another.

    Raises NoCurve, and UsageProblem for a region that the curve is not about.
    """
    served = [r.id for r in fallback_chain(region, wide=True)]
    if stored.home not in served:
        what = "the adapter is of" if stored.card else "beta was measured for"
        raise UsageProblem(
            f"{what} {stored.home}, which does not contain {region.id}",
            f"`{command_line('search', {'--region': region.id})}` lists what serves it.",
        )
    try:
        after = choose(stored.curve("validation", region.id), alpha.value, policy or stored.policy)
    except NoCurve as problem:
        # Its own hint is for whoever pulls.
        raise NoCurve(
            problem.message,
            "Nothing can be chosen without it: `ggez-hub sweep` measures a curve (docs/evaluation.md).",
        ) from problem
    return Retuned(
        stored,
        region.id,
        alpha_record(alpha),
        after,
        _taken(stored),
        alpha_ranges(after.curve, after.policy),
    )


def _taken(stored: StoredCurve) -> Beta | None:
    if stored.beta is not None:
        return stored.beta
    try:
        curve = stored.curve("validation", stored.region)
        return choose(curve, stored.alpha.value, stored.policy).point
    except NoCurve:
        return None


def retuned_card(document: CardDocument, retuned: Retuned) -> CardDocument:
    """The card with the new alpha, which is that of the card's own region, and the policy.

    Raises UsageProblem for another region's alpha, and where the card has this alpha already.
    """
    card = document.card
    if retuned.region != card.region:
        raise UsageProblem(
            f"the card is of {card.region}: the alpha of {retuned.region} does not belong there",
            "beta for another region is chosen when it is pulled; nothing has to be published.",
        )
    if card.alpha == retuned.alpha and card.policy == str(retuned.after.policy):
        raise UsageProblem(
            f"the card has the alpha {card.alpha.value:g} already", "There is nothing to publish."
        )
    return document.with_card(alpha=retuned.alpha, policy=str(retuned.after.policy))


def described(found: Retuned) -> str:
    """The text of a pull request for the new alpha."""
    stays = found.stays
    before = found.stored.alpha
    change = (
        f"beta changes from {'none' if found.taken is None else format(found.taken, 'g')} to "
        f"{found.beta:g}."
        if found.changed
        else f"beta stays {found.beta:g}."
    )
    return (
        f"alpha was {before.value:.5f} ({before.source}) and is {found.alpha.value:.5f} "
        f"({found.alpha.source}). Chosen from the stored validation curve, without evaluation, "
        f"{change} It stays for every alpha from {stays.low:.4f} to {stays.high:.4f}.\n\n"
        "The prose below the front matter is as it was: figures in it may be of the old alpha."
    )


@dataclass(frozen=True)
class AlphaChoice:
    """The beta that is chosen with one average of the index over a group's countries."""

    average: Literal["mean", "median", "population_weighted"]
    alpha: float
    beta: Beta


@dataclass(frozen=True)
class AlphaChoices:
    """The choices with each average over `members`, the countries of the group `region`."""

    region: str
    year: int
    members: tuple[str, ...]
    choices: tuple[AlphaChoice, ...]

    def as_dict(self) -> dict[str, Any]:
        choices = [vars(choice) | {"beta": as_json(choice.beta)} for choice in self.choices]
        return vars(self) | {"members": list(self.members), "choices": choices}


def alpha_choices(
    region: Region,
    chosen: Callable[[float], Beta],
    year: int | None = None,
    series: str = INTERPERSONAL,
    release: str | None = None,
) -> AlphaChoices | None:
    """The choice with each average over the countries of `region`.

    A single country has one value, so the averages are those of `southeast-asia` around it.
    chosen: the beta for an alpha from 0 to 1. None where no such group is around the country or the
    countries are unknown. The population-weighted mean is left out where CLDR lacks a population.
    Raises UsageProblem for a release, series or year that is not there.
    """
    group = next((r for r in fallback_chain(region) if not r.is_country), None)
    if group is None:
        return None
    factor = alpha(group, year, series, release)
    others = averages(factor)
    if others is None:
        return None
    values: list[tuple[Literal["mean", "median", "population_weighted"], float | None]] = [
        ("mean", factor.value),
        ("median", others.median),
        ("population_weighted", others.population_weighted),
    ]
    choices = tuple(AlphaChoice(name, a, chosen(a)) for name, a in values if a is not None)
    return AlphaChoices(factor.fallback or group.id, factor.year or 0, others.members, choices)
