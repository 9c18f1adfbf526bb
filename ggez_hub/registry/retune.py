"""beta chosen again for another alpha, from the stored curve and without any evaluation."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from ggez_hub.cards import AdapterCard, AlphaRecord, CardDocument, alpha_record, read_card
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.alpha_range import Stretch, stretches
from ggez_hub.evaluation.selection import NoCurve, Point, Trade, trade
from ggez_hub.hub import Hub
from ggez_hub.regions import Alpha, Region, fallback_chain
from ggez_hub.registry.index.reading import read_pinned_card
from ggez_hub.registry.lock import read_lock
from ggez_hub.registry.places import CARD_NAME, LOCK_NAME
from ggez_hub.registry.resolving.pinning import curve_trade


@dataclass(frozen=True)
class Stored:
    """A curve and what was chosen from it: of a card, or of a pull.

    repo   the adapter's repository, where it is known
    beta   what was taken, None where nothing has been yet; `given` says that a user set it
    """

    card: AdapterCard
    region: str
    alpha: AlphaRecord
    repo: str | None
    beta: float | None = None
    given: bool = False
    lock: Path | None = None


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
    taken: float
    ranges: tuple[Stretch, ...]

    @property
    def beta(self) -> float:
        """The beta for the new alpha."""
        return self.after.chosen.beta

    @property
    def stays(self) -> Stretch:
        """The range around the new alpha over which its beta stays."""
        alpha = self.alpha.value
        around = (s for s in self.ranges if alpha in s and s.beta == self.beta)
        # Where two ranges meet a third beta may be as good, and be chosen there alone.
        return next(around, Stretch(self.beta, alpha, alpha))

    @property
    def changed(self) -> bool:
        """Whether another beta is chosen."""
        return self.beta != self.taken

    def test(self, beta: float) -> Point | None:
        """What the test side of the card says of a beta, at the new alpha."""
        card = self.stored.card
        assert card.curve != "unknown"  # noqa: S101 - it was chosen from
        try:
            seen = trade(card.curve, "test", self.alpha.value, self.region, card.region)
        except NoCurve:
            return None
        return seen.at(beta)


def stored_in(place: Path, hub: Hub) -> Stored:
    """The curve of a card, an adapter's folder, a pulled folder or its lock.

    A lock's card is read from the cache or `hub`. Raises UsageProblem for a lock without exactly
    one beta, BadCard, BadLock, and what the client raises.
    """
    lock_file = place / LOCK_NAME if place.is_dir() else place
    if lock_file.name != LOCK_NAME or not lock_file.is_file():
        card = read_card(place / CARD_NAME if place.is_dir() else place).card
        repo = card.adapter.repo if card.adapter else None
        return Stored(card, card.region, card.alpha, repo)
    resolution = read_lock(lock_file).resolution
    weighed = [adapter for adapter in resolution.adapters if adapter.beta is not None]
    if len(weighed) != 1:
        raise UsageProblem(
            f"{lock_file} weighs {len(weighed)} adapters",
            "beta is chosen again for a pull of one adapter.",
        )
    (adapter,) = weighed
    assert adapter.beta is not None  # noqa: S101 - that is how it was found
    return Stored(
        read_pinned_card(hub, adapter.card).card,
        resolution.region,
        resolution.alpha,
        adapter.source.repo,
        adapter.beta.value,
        adapter.beta.why == "given",
        lock_file,
    )


def retune(stored: Stored, region: Region, alpha: Alpha) -> Retuned:
    """Choose beta again for `region` with `alpha`.

    Raises NoCurve, and UsageProblem for a region that the adapter does not serve.
    """
    served = [r.id for r in fallback_chain(region, wide=True)]
    if stored.card.region not in served:
        raise UsageProblem(
            f"the adapter is of {stored.card.region}, which does not contain {region.id}",
            f"`ggez-hub search --region {region.id}` lists what serves it.",
        )
    before = curve_trade(stored.card, stored.region, stored.alpha.value)
    after = curve_trade(stored.card, region.id, alpha.value)
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
