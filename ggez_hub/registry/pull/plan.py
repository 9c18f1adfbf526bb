"""A pull as it is planned: the resolution, its cards, scores and licences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from ggez_hub.cards.expected import ListedFile, differences
from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.merging.similarity import Cosine, cosines
from ggez_hub.registry.affected import yanked_among
from ggez_hub.registry.index.entries import read_pinned_card
from ggez_hub.registry.index.file import BadIndex
from ggez_hub.registry.index.search import yanked_adapters
from ggez_hub.registry.licences import obligations
from ggez_hub.registry.lock import Lock, check_upstream, require_plugins
from ggez_hub.registry.pull.choices import decide
from ggez_hub.registry.pull.first_use import require_first_use
from ggez_hub.registry.pull.parity_table import (
    MeasuredSwitch,
    ParityTable,
    joint_table,
    measured_switch,
    parity_table,
)
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.composition import (
    CompositionStatus,
    JointMeasurement,
    composition_status,
    joint_measurement,
)
from ggez_hub.registry.resolver.resolver import Resolved
from ggez_hub.registry.trust.checks import signer_of
from ggez_hub.registry.trust.freshness import UntrustedIndex, unchecked_signatures
from ggez_hub.registry.trust.statement import BadSignature


@dataclass(frozen=True)
class PullPlan(Resolved):
    """What was resolved, and the lock that it came from, if any."""

    lock: Lock | None = None
    warnings: tuple[str, ...] = ()
    _cosines: dict[str, tuple[Cosine, ...]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def table(self) -> ParityTable | None:
        """The card's test scores, of a composition those of its joint curve; none on other weights."""
        if self.together is not None:
            return joint_table(self.together, self.resolution)
        card = self.documents[0].card
        # A curve is of the bytes that its card records.
        if len(self.documents) > 1 or self.resolution.fits_by != "weights" or not card.pinned:
            return None
        return parity_table(self.documents[0].card, self.resolution)

    @cached_property
    def together(self) -> JointMeasurement | None:
        resolution = self.resolution
        if len(self.documents) < 2 or resolution.fits_by != "weights":
            return None
        cards = [document.card for document in self.documents]
        if not all(card.pinned for card in cards):
            return None
        return joint_measurement(cards, resolution.region, resolution.alpha.value)

    @property
    def composition(self) -> CompositionStatus | None:
        if len(self.documents) < 2:
            return None
        return composition_status(self.resolution, self.together)

    @property
    def switch(self) -> MeasuredSwitch | None:
        """What is known of the switch of one adapter; None for several, and for complete models."""
        if len(self.documents) > 1 or self.resolution.base is None:
            return None
        if not self.documents[0].card.pinned:
            return None
        return measured_switch(self.documents[0].card, self.resolution)

    def cosines(self, hub: Hub) -> tuple[Cosine, ...]:
        """cos(Delta_i, Delta_j) of a composition, whose files have to be in the cache; computed once."""
        resolution = self.resolution
        if len(resolution.adapters) < 2:
            return ()
        if "cosines" not in self._cosines:
            folders = [adapter.source.fetch(hub) for adapter in resolution.adapters]
            base = resolution.merged_into.fetch(hub)
            family = get_family(resolution.family)
            self._cosines["cosines"] = cosines(
                base, folders, family, out_dtype=resolution.out_dtype
            )
        return self._cosines["cosines"]


def plan(
    request: Request,
    hub: Hub,
    out: Path | None = None,
    *,
    costs_only: bool = False,
) -> PullPlan:
    """Resolve a request for the folder `out`; takes and raises what `decide` does, and ChangedSince."""
    out = out or Path(f"ggez-{request.region}")
    resolved = decide(request, hub, out, costs_only=costs_only)
    if not request.accept_changed:
        require_first_use(resolved, hub)
    return PullPlan(**vars(resolved), warnings=tuple(_warnings(resolved, hub)))


def _warnings(resolved: Resolved, hub: Hub) -> Iterator[str]:
    yield from _unexpected(resolved)
    if unchecked := unchecked_signatures(hub, resolved.resolution):
        yield unchecked


def _unexpected(resolved: Resolved) -> Iterator[str]:
    """How the base differs from what is expected of it, where a card does not pin it."""
    base = resolved.resolution.base
    if base is None:
        return
    for card in (document.card for document in resolved.documents):
        expected = card.base.expected
        if expected is not None and not card.pinned and card.base.repo == base.repo:
            listed = {file.path: ListedFile(file.size, file.sha256) for file in base.files}
            yield from differences(expected, base.repo, base.revision, listed, partial=True)


def plan_locked(lock: Lock, hub: Hub) -> PullPlan:
    """Take what a lock pins; raises GgezError if the hub no longer has it.

    An adapter that was yanked since is still taken, with a warning: a lock is a promise. Offline
    nothing is compared with the hub: the inputs must be in the cache.
    """
    require_plugins(lock.resolution)
    warnings: tuple[str, ...] = ()
    if not hub.offline:
        check_upstream(lock, hub)
        warnings = (*_yanked_since(lock, hub), *_unsigned_now(lock, hub))
    documents = tuple(read_pinned_card(hub, a.card) for a in lock.resolution.adapters)
    asked = obligations(lock.resolution, documents)
    return PullPlan(lock.resolution, documents, asked, lock=lock, warnings=warnings)


def _yanked_since(lock: Lock, hub: Hub) -> Iterator[str]:
    try:
        yanked = yanked_adapters(hub)
    except (BadIndex, UntrustedIndex) as problem:
        yield f"whether anything was yanked is not known: {problem.message}"
        return
    yield from map(str, yanked_among(lock, yanked))


def _unsigned_now(lock: Lock, hub: Hub) -> Iterator[str]:
    """What was signed when it was locked, and does not count now; raised where it is required."""
    if unchecked := unchecked_signatures(hub, lock.resolution):
        yield unchecked
    for source in (adapter.source for adapter in lock.resolution.adapters):
        if source.signer is None and hub.signatures != "required":
            continue
        at = hub.at_commit(source.repo, source.revision)
        try:
            signer_of(hub, at, {file.path: file.sha256 for file in source.files})
        except BadSignature as problem:
            if hub.signatures == "required":
                raise GgezError(f"{source.repo} {problem.message}", problem.hint) from problem
            yield f"{source.repo}: {problem.message}"
