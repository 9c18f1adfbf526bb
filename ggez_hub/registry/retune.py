"""beta chosen again for another alpha, from the stored curve and without any evaluation."""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.cards import AlphaRecord, CardDocument, alpha_record
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.alpha_range import Stretch, stretches
from ggez_hub.evaluation.betas import Beta
from ggez_hub.evaluation.comparison import NotComparable
from ggez_hub.evaluation.selection import NoCurve
from ggez_hub.evaluation.trade_off import Point, Trade
from ggez_hub.regions import Alpha, Region, fallback_chain
from ggez_hub.registry.stored import Stored


@dataclass(frozen=True)
class Retuned:
    """The choice before and after, and for which alpha it stays.

    before, after  the curve seen with the old and the new alpha
    taken          the beta that was taken before
    ranges         the whole of alpha from 0 to 1, cut where the choice changes
    """

    stored: Stored
    region: str
    alpha: AlphaRecord
    before: Trade
    after: Trade
    taken: Beta
    ranges: tuple[Stretch, ...]

    @property
    def beta(self) -> Beta:
        """The beta for the new alpha."""
        return self.after.chosen.beta

    @property
    def stays(self) -> Stretch:
        """The range around the new alpha over which its beta stays."""
        alpha = self.alpha.value
        around = (s for s in self.ranges if alpha in s and s.beta == self.beta)
        # Where two ranges meet a third beta may be as good, and be chosen there alone.
        return next(around, Stretch(self.beta, alpha, alpha))

    def chosen_at(self, alpha: float) -> Beta:
        """The beta for any alpha from 0 to 1; where two ranges meet, that of the lower."""
        return next(s.beta for s in self.ranges if alpha in s)

    @property
    def changed(self) -> bool:
        """Whether another beta is chosen."""
        return self.beta != self.taken

    def test(self, beta: Beta) -> Point | None:
        """What the test side says of a beta, at the new alpha."""
        try:
            seen = self.stored.seen("test", self.alpha.value, self.region)
        except (NoCurve, NotComparable):
            return None
        return seen.at(beta)


def retune(stored: Stored, region: Region, alpha: Alpha) -> Retuned:
    """Choose beta again for `region` with `alpha`.

    Raises NoCurve, and UsageProblem for a region that the curve says nothing of.
    """
    served = [r.id for r in fallback_chain(region, wide=True)]
    if stored.home not in served:
        what = "the adapter is of" if stored.card else "beta was measured for"
        raise UsageProblem(
            f"{what} {stored.home}, which does not contain {region.id}",
            f"`ggez-hub search --region {region.id}` lists what serves it.",
        )
    before = stored.seen("validation", stored.alpha.value, stored.region)
    after = stored.seen("validation", alpha.value, region.id)
    return Retuned(
        stored,
        region.id,
        alpha_record(alpha),
        before,
        after,
        before.chosen.beta if stored.beta is None else stored.beta,
        stretches(after.points),
    )


def retuned_card(document: CardDocument, retuned: Retuned) -> CardDocument:
    """The card with the new alpha, which is that of the card's own region.

    Raises UsageProblem for another region's alpha, and where the card has this alpha already.
    """
    card = document.card
    if retuned.region != card.region:
        raise UsageProblem(
            f"the card is of {card.region}: the alpha of {retuned.region} does not belong there",
            "beta for another region is chosen when it is pulled; nothing has to be published.",
        )
    if card.alpha == retuned.alpha:
        raise UsageProblem(
            f"the card has the alpha {card.alpha.value:g} already", "There is nothing to publish."
        )
    changed = card.model_copy(update={"alpha": retuned.alpha})
    return CardDocument(changed, document.front_matter, document.prose)


def described(found: Retuned) -> str:
    """What a pull request for the new alpha says."""
    stays = found.stays
    before = found.stored.alpha
    change = (
        f"beta changes from {found.taken:g} to {found.beta:g}."
        if found.changed
        else f"beta stays {found.beta:g}."
    )
    return (
        f"alpha was {before.value:.5f} ({alpha_source(before)}) and is {found.alpha.value:.5f} "
        f"({alpha_source(found.alpha)}). Chosen from the stored validation curve, without evaluation, "
        f"{change} It stays for every alpha from {stays.low:.4f} to {stays.high:.4f}.\n\n"
        "The prose below the front matter is as it was: figures in it may be of the old alpha."
    )


def alpha_source(alpha: AlphaRecord) -> str:
    """Where an alpha comes from, in words."""
    if alpha.provenance == "user":
        return "set by a user"
    return f"{alpha.series}, KOF release {alpha.release}, {alpha.year}"
