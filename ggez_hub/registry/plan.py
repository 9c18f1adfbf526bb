"""A pull, planned and carried out: what the command line and the Python API share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.cards import CardDocument
from ggez_hub.hub import Hub
from ggez_hub.registry.index import read_pinned_card, yanked_adapters
from ggez_hub.registry.index_file import BadIndex
from ggez_hub.registry.licences import Obligations, obligations
from ggez_hub.registry.lock import Lock, check_upstream
from ggez_hub.registry.parity_table import ParityTable, parity_table
from ggez_hub.registry.pull import Pulled, pull_resolution
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolver import resolve
from ggez_hub.registry.result_card import result_card


@dataclass(frozen=True)
class Plan:
    """A resolution, the card it rests on, what it asks, the card's table, and its lock, if any."""

    resolution: Resolution
    document: CardDocument
    obligations: Obligations
    table: ParityTable | None
    lock: Lock | None = None
    warnings: tuple[str, ...] = ()


def plan(request: Request, hub: Hub) -> Plan:
    """Resolve a request; raises what `resolve` raises."""
    resolved = resolve(request, hub)
    table = parity_table(resolved.document.card, resolved.resolution)
    return Plan(resolved.resolution, resolved.document, resolved.obligations, table)


def plan_locked(lock: Lock, hub: Hub, *, offline: bool = False) -> Plan:
    """Take what a lock pins; raises Differs if the hub no longer has it.

    An adapter that was yanked since is still taken, with a warning: a lock is a promise. `offline`
    asks the hub nothing: the inputs must be in the cache.
    """
    warnings: tuple[str, ...] = ()
    if not offline:
        check_upstream(lock, hub)
        warnings = tuple(_yanked_since(lock, hub))
    document = read_pinned_card(hub, lock.resolution.adapters[0].card)
    asked = obligations(lock.resolution, [document])
    table = parity_table(document.card, lock.resolution)
    return Plan(lock.resolution, document, asked, table, lock, warnings)


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
    planned: Plan,
    hub: Hub,
    out: Path,
    wrote: Callable[[int], None] | None = None,
    *,
    verify: bool = False,
) -> Pulled:
    """Fetch, merge and write a plan as the new folder `out`; raises what `pull_resolution` raises."""

    def readme(folder: Path) -> str:
        return result_card(
            planned.resolution, planned.document, planned.obligations, planned.table, folder
        )

    return pull_resolution(
        planned.resolution,
        hub,
        out,
        readme=readme,
        expected=planned.lock,
        wrote=wrote,
        verify=verify,
    )
