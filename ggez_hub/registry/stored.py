"""A curve that is stored somewhere, and what was chosen from it: of a card, a pull or a sweep."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeAlias

from ggez_hub.cards import AdapterCard, AlphaRecord, read_card
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.betas import Beta, from_json, point
from ggez_hub.evaluation.selection import Split, trade
from ggez_hub.evaluation.trade_off import Trade
from ggez_hub.hub import Hub
from ggez_hub.registry.index.reading import read_pinned_card
from ggez_hub.registry.lock import read_lock
from ggez_hub.registry.places import CARD_NAME, LOCK_NAME
from ggez_hub.registry.resolution import PinnedAdapter, Resolution
from ggez_hub.registry.resolving.joint import Together, measured_together
from ggez_hub.registry.resolving.pinning import curve_trade

# The curve on a split, seen with an alpha for a region; raises NoCurve.
Seen: TypeAlias = Callable[[Split, float, str], Trade]


@dataclass(frozen=True)
class Stored:
    """A curve and what was chosen from it.

    seen    the curve; `home` is the region that it is of
    region, alpha   for which beta was chosen
    repo    the adapter's repository, where it is known
    card    the adapter's card, where it is one's
    beta    what was taken, None where nothing has been yet; `given` says that a user set it
    adapters   of a composition: whose the betas of a point are, in their order
    """

    seen: Seen
    home: str
    region: str
    alpha: AlphaRecord
    repo: str | None = None
    card: AdapterCard | None = None
    beta: Beta | None = None
    given: bool = False
    lock: Path | None = None
    adapters: tuple[str, ...] = field(default=())

    @classmethod
    def of_card(cls, card: AdapterCard) -> Stored:
        """The curve of a card."""
        repo = card.adapter.repo if card.adapter else None
        return cls(_on_card(card), card.region, card.region, card.alpha, repo, card)


def stored_in(place: Path, hub: Hub) -> Stored:
    """The curve of a card, an adapter's folder, a pulled folder or its lock, or a results folder.

    A lock's cards are read from the cache or `hub`. Raises UsageProblem for a lock of a composition
    that nobody has measured together, or without a beta, and for results that were cross-fitted;
    BadCard, BadLock, NoEvidence, and what the client raises.
    """
    from ggez_hub.evaluation.evidence import RESULTS

    lock_file = place / LOCK_NAME if place.is_dir() else place
    if lock_file.name == LOCK_NAME and lock_file.is_file():
        return _of_lock(lock_file, hub)
    if place.name == RESULTS or (place / RESULTS).is_file():
        return _of_results(place)
    return Stored.of_card(read_card(place / CARD_NAME if place.is_dir() else place).card)


def _on_card(card: AdapterCard) -> Seen:
    def seen(split: Split, alpha: float, region: str) -> Trade:
        if split == "validation" or card.curve == "unknown":
            return curve_trade(card, region, alpha)
        return trade(card.curve, split, alpha, region, card.region)

    return seen


def _of_lock(lock_file: Path, hub: Hub) -> Stored:
    resolution = read_lock(lock_file).resolution
    weighed = [adapter for adapter in resolution.adapters if adapter.beta is not None]
    if not weighed:
        raise UsageProblem(f"{lock_file} weighs no adapter", "A merged model is taken as it is.")
    if resolution.by_part:
        raise UsageProblem(
            f"{lock_file} has betas by part, and the curve of its card is of one beta for all tensors",
            "Sweep with the same `parts` to choose beta for them: docs/evaluation.md.",
        )
    cards = [read_pinned_card(hub, adapter.card).card for adapter in weighed]
    if len(weighed) > 1:
        return _of_composition(lock_file, resolution, weighed, cards)
    (adapter,), (card,) = weighed, cards
    assert adapter.beta is not None  # noqa: S101 - that is how it was found
    return replace(
        Stored.of_card(card),
        region=resolution.region,
        alpha=resolution.alpha,
        repo=adapter.source.repo,
        beta=adapter.beta.value,
        given=adapter.beta.why == "given",
        lock=lock_file,
    )


def _of_composition(
    lock_file: Path,
    resolution: Resolution,
    adapters: list[PinnedAdapter],
    cards: list[AdapterCard],
) -> Stored:
    together = None
    if resolution.fits_by == "weights":
        together = measured_together(cards, resolution.region, resolution.alpha.value)
    if together is None:
        raise UsageProblem(
            f"{lock_file} is of a composition that no card has a joint curve of",
            "`ggez-hub sweep` measures adapters together; `ggez-hub card joint` notes it on a card.",
        )
    betas = [adapter.beta.value for adapter in adapters if adapter.beta is not None]
    return Stored(
        _of_joint(together),
        together.joint.region,
        resolution.region,
        resolution.alpha,
        beta=point(betas),
        given=any(adapter.beta is not None and adapter.beta.why == "given" for adapter in adapters),
        lock=lock_file,
        adapters=tuple(adapter.source.repo for adapter in adapters),
    )


def _of_joint(together: Together) -> Seen:
    return lambda split, alpha, region: replace(together, region=region).trade(split, alpha)


def _of_results(place: Path) -> Stored:
    from ggez_hub.evaluation.choosing import SELECT
    from ggez_hub.evaluation.curve import curve_of
    from ggez_hub.evaluation.evidence import open_evidence
    from ggez_hub.evaluation.joint import joint_trade
    from ggez_hub.evaluation.results import figures

    evidence = open_evidence(place)
    header, selection = evidence.header, figures(evidence)["selection"]
    if selection["beta"] is not None and selection["select"] != SELECT:
        raise UsageProblem(
            f"beta was cross-fitted on the {selection['items']} items of {place}: it is chosen from "
            "the answers, not from a stored curve",
            "Say another `alpha` in the recipe and sweep again with it: answers that are kept are "
            "not computed anew.",
        )

    def seen(split: Split, alpha: float, region: str) -> Trade:
        if region != header.region:
            return trade(curve_of(evidence), split, alpha, region, header.region)
        factor = header.alpha.model_copy(update={"value": alpha})
        changed = header.model_copy(update={"alpha": factor})
        return joint_trade(replace(evidence, header=changed), split)

    return Stored(
        seen,
        header.region,
        header.region,
        header.alpha,
        beta=None if selection["beta"] is None else from_json(selection["beta"]),
        adapters=tuple(adapter.name for adapter in header.adapters),
    )
