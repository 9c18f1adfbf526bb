"""A pull, planned and carried out: what the command line and the Python API share."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

from ggez_hub.cards import CardDocument
from ggez_hub.hub import Hub
from ggez_hub.merging.similarity import Cosine
from ggez_hub.registry.index.entries import read_pinned_card
from ggez_hub.registry.index.file import BadIndex
from ggez_hub.registry.index.search import yanked_adapters
from ggez_hub.registry.licences import Obligations, obligations
from ggez_hub.registry.lock import Lock, check_upstream, require_plugins
from ggez_hub.registry.pull.choices import decide
from ggez_hub.registry.pull.parity_table import (
    MeasuredSwitch,
    ParityTable,
    TableLine,
    joint_table,
    measured_switch,
    parity_table,
)
from ggez_hub.registry.pull.preflight import require_inputs
from ggez_hub.registry.pull.pull import Pulled, pull_resolution
from ggez_hub.registry.pull.result_card import result_card
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolver.composition import (
    CompositionStatus,
    JointMeasurement,
    compared,
    composition_status,
    joint_measurement,
)
from ggez_hub.registry.resolver.resolver import Resolved


@dataclass(frozen=True)
class PullPlan:
    """A resolution, the cards it rests on, what it asks, and the lock it came from, if any."""

    resolution: Resolution
    documents: tuple[CardDocument, ...]
    obligations: Obligations
    lock: Lock | None = None
    warnings: tuple[str, ...] = ()
    _kept: dict[str, tuple[Cosine, ...]] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def table(self) -> ParityTable | None:
        """The card's test scores, of a composition those of its joint curve; none on other weights."""
        table = self._measured_table()
        return _by_part(table) if table and self.resolution.by_part else table

    def _measured_table(self) -> ParityTable | None:
        if self.together is not None:
            return joint_table(self.together, self.resolution)
        if len(self.documents) > 1 or self.resolution.fits_by != "weights":
            return None
        return parity_table(self.documents[0].card, self.resolution)

    @cached_property
    def together(self) -> JointMeasurement | None:
        """The joint curve of a composition, from the card of one of its adapters."""
        resolution = self.resolution
        if len(self.documents) < 2 or resolution.fits_by != "weights":
            return None
        cards = [document.card for document in self.documents]
        return joint_measurement(cards, resolution.region, resolution.alpha.value)

    @property
    def standing(self) -> CompositionStatus | None:
        """Whether a composition was measured; None for a single adapter."""
        if len(self.documents) < 2:
            return None
        return composition_status(self.resolution, self.together)

    @property
    def switch(self) -> MeasuredSwitch | None:
        """What is known of the switch of the one adapter; None for several, and for complete models."""
        if len(self.documents) > 1 or self.resolution.base is None:
            return None
        return measured_switch(self.documents[0].card, self.resolution)

    def alike(self, hub: Hub) -> tuple[Cosine, ...]:
        """The cosines of a composition's Deltas, which have to be in the cache; computed once."""
        if "alike" not in self._kept:
            self._kept["alike"] = compared(self.resolution, hub)
        return self._kept["alike"]

    @classmethod
    def of(cls, resolved: Resolved) -> PullPlan:
        """The plan of what was resolved."""
        return cls(resolved.resolution, resolved.documents, resolved.obligations)


def _by_part(table: ParityTable) -> ParityTable:
    """The table of a result with betas by part, which no curve has measured; its parts alone left out."""
    lines = []
    for line in table.lines:
        if line.label in {"base", "regional"}:
            lines.append(line)
        elif line.label in {"merged", "composition"}:
            lines.append(TableLine(f"{line.label} by part", line.beta, None))
    # What follows of a choice is of the plain model, which this is not.
    return replace(table, lines=tuple(lines), policies=(), seeds=None)


def plan(
    request: Request,
    hub: Hub,
    out: Path | None = None,
    *,
    costs_only: bool = False,
    options: str = "",
) -> PullPlan:
    """Resolve a request for the folder `out`; takes and raises what `decide` does."""
    out = out or Path(f"ggez-{request.region}")
    return PullPlan.of(decide(request, hub, out, costs_only=costs_only, options=options))


def plan_locked(lock: Lock, hub: Hub, *, offline: bool = False) -> PullPlan:
    """Take what a lock pins; raises Differs if the hub no longer has it.

    An adapter that was yanked since is still taken, with a warning: a lock is a promise. `offline`
    asks the hub nothing: the inputs must be in the cache.
    """
    require_plugins(lock.resolution)
    warnings: tuple[str, ...] = ()
    if not offline:
        check_upstream(lock, hub)
        warnings = tuple(_yanked_since(lock, hub))
    documents = tuple(read_pinned_card(hub, a.card) for a in lock.resolution.adapters)
    asked = obligations(lock.resolution, documents)
    return PullPlan(lock.resolution, documents, asked, lock, warnings)


def _yanked_since(lock: Lock, hub: Hub) -> Iterator[str]:
    try:
        yanked = yanked_adapters(hub)
    except BadIndex as problem:
        yield f"whether anything was yanked is not known: {problem.message}"
        return
    for adapter in lock.resolution.adapters:
        reason = yanked.get(adapter.source.repo.lower())
        if reason is not None:
            yield f"{adapter.source.repo} was yanked: {reason or 'no reason given'}"


def carry_out(
    planned: PullPlan,
    hub: Hub,
    out: Path,
    wrote: Callable[[int], None] | None = None,
    *,
    verify: bool = False,
    owners: Collection[str] = (),
) -> Pulled:
    """Fetch, merge and write a plan as the new folder `out`; raises what `pull_resolution` raises.

    `owners` are those whose published merged models are taken.
    Raises NoAccess before the first byte of weights if an input is restricted.
    """
    require_inputs(planned.resolution, hub)

    def readme(folder: Path) -> str:
        return result_card(
            planned.resolution,
            planned.documents,
            planned.obligations,
            planned.table,
            folder,
            planned.alike(hub),
            planned.standing,
            planned.switch,
        )

    return pull_resolution(
        planned.resolution,
        hub,
        out,
        readme=readme,
        expected=planned.lock,
        wrote=wrote,
        verify=verify,
        owners=owners,
    )
