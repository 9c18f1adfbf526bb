"""The curve of a card, a pull or a sweep, and what was chosen from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ggez_hub.cards import AdapterCard, AlphaRecord, read_card
from ggez_hub.cards.curve import Split
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.parity.betas import Beta, point
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.policy import PARITY, Policy
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.index.entries import read_pinned_card
from ggez_hub.registry.lock import one_lock_in, read_lock
from ggez_hub.registry.resolver.composition import joint_measurement

# The curve on a split, seen for a region; raises NoCurve.
CurveFor: TypeAlias = Callable[[Split, str], ParityCurve]


@dataclass(frozen=True)
class StoredCurve:
    """A curve and what was chosen from it.

    curve   the curve; `home` is the region that it is of
    region, alpha, policy   for which, and by which, beta was chosen
    repo    the adapter's repository, where it is known
    card    the adapter's card, where it is one's
    beta    what was taken, None where nothing has been yet; `given` if a user set it
    adapters   of a composition: whose the betas of a point are, in their order
    """

    curve: CurveFor
    home: str
    region: str
    alpha: AlphaRecord
    policy: Policy = PARITY
    repo: str | None = None
    card: AdapterCard | None = None
    beta: Beta | None = None
    given: bool = False
    lock: Path | None = None
    adapters: tuple[str, ...] = ()

    @classmethod
    def of_card(cls, card: AdapterCard) -> StoredCurve:
        return cls(
            lambda split, region: ParityCurve.of(card.measured, split, region),
            card.region,
            card.region,
            card.alpha,
            Policy.parse(card.policy),
            card.adapter.repo if card.adapter else None,
            card,
        )


def stored_in(place: Path, hub: Hub) -> StoredCurve:
    """The curve of a card, an adapter's folder, a pulled folder or its lock, or a results folder.

    A lock's cards are read from the cache or `hub`. Raises UsageProblem for a lock of a composition
    that nobody has measured together, or without a beta; GgezError, and what the
    client raises.
    """
    from ggez_hub.evaluation.results.evidence import RESULTS

    is_lock = place.is_file() and place.suffix == ".lock"
    if lock_file := place if is_lock else one_lock_in(place):
        return _of_lock(lock_file, hub)
    if place.name == RESULTS or (place / RESULTS).is_file():
        return _of_results(place)
    return StoredCurve.of_card(read_card(place / CARD_NAME if place.is_dir() else place).card)


def _of_lock(lock_file: Path, hub: Hub) -> StoredCurve:
    resolution = read_lock(lock_file).resolution
    weighed = [(a.beta, a) for a in resolution.adapters if a.beta is not None]
    if not weighed:
        raise UsageProblem(f"{lock_file} weighs no adapter", "A merged model is taken as it is.")
    if resolution.by_part:
        raise UsageProblem(
            f"{lock_file} has betas by part, and the curve of its card is of one beta for all tensors",
            "Sweep with the same `parts` to choose beta for them: docs/evaluation.md.",
        )
    cards = [read_pinned_card(hub, adapter.card).card for _, adapter in weighed]
    if len(weighed) == 1:
        own = StoredCurve.of_card(cards[0])
        stored = replace(own, repo=weighed[0][1].source.repo)
    else:
        together = None
        if resolution.fits_by == "weights":
            together = joint_measurement(cards, resolution.region, resolution.alpha.value)
        if together is None:
            raise UsageProblem(
                f"{lock_file} is of a composition that no card has a joint curve of",
                "`ggez-hub sweep` measures adapters together; `ggez-hub card joint` notes it on a card.",
            )
        joint = together
        stored = StoredCurve(
            lambda split, region: replace(joint, region=region).curve(split),
            joint.joint.region,
            resolution.region,
            resolution.alpha,
            Policy.parse(joint.joint.policy),
            adapters=tuple(adapter.source.repo for _, adapter in weighed),
        )
    policy = resolution.policy
    return replace(
        stored,
        region=resolution.region,
        alpha=resolution.alpha,
        policy=Policy.parse(policy) if policy else stored.policy,
        beta=point([beta.value for beta, _ in weighed]),
        given=any(beta.why == "given" for beta, _ in weighed),
        lock=lock_file,
    )


def _of_results(place: Path) -> StoredCurve:
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.evaluation.results.measured_curve import curve_of

    evidence = open_evidence(place)
    header, measured = evidence.header, curve_of(evidence)
    return StoredCurve(
        lambda split, region: ParityCurve.of(measured, split, region),
        header.region,
        header.region,
        header.alpha,
        Policy.parse(header.policy),
        adapters=tuple(adapter.name for adapter in header.adapters),
    )
