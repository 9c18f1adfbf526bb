"""`registry stale`: accepted adapters that time has passed over, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from ggez_hub.cards import CardDocument
from ggez_hub.hub import Hub
from ggez_hub.registry.index.check import PARALLEL
from ggez_hub.registry.index.entries import Entry, Listing
from ggez_hub.registry.resolving.source import reach
from ggez_hub.registry.resolving.vetting import NotFit

Why = Literal["yanked", "deprecated", "superseded", "base", "undetermined"]


@dataclass(frozen=True)
class Stale:
    """An adapter that is out of date: why, in words, and the adapter that took its place, if any.

    `base`: the base's repository has other weights on `main` now, or is gone. `undetermined`:
    its card, or its base, cannot be read.
    """

    repo: str
    region: str
    family: str
    why: Why
    reason: str
    successor: str | None = None


def stale_entries(listing: Listing, hub: Hub, region: str | None = None) -> tuple[Stale, ...]:
    """The stale entries of a whole index (of `region` alone), sorted by region and name.

    An entry may be stale for more than one reason.
    """
    by_repo = {entry.repo: entry for entry in listing.entries}
    asked = [e for e in listing.entries if region in {None, e.summary.region}]
    found = [s for entry in asked for s in _by_status(entry, by_repo)]
    found += _by_base([e for e in asked if e.summary.state == "active"], hub)
    return tuple(sorted(found, key=lambda s: (s.region, s.repo, s.why)))


def _by_status(entry: Entry, by_repo: Mapping[str, Entry]) -> Iterator[Stale]:
    seen = entry.summary
    successor, words = _successor(entry, by_repo)
    if seen.state != "active":
        reason = seen.reason or "no reason given"
        yield _stale(entry, seen.state, f"{reason}{'; ' if words else ''}{words}", successor)
    elif words:
        yield _stale(entry, "superseded", words, successor)


def _successor(entry: Entry, by_repo: Mapping[str, Entry]) -> tuple[str | None, str]:
    """The end of the chain of successors, and the chain in words."""
    chain = [entry.repo]
    following = entry.summary.superseded_by
    while following is not None:
        if following in chain:
            return None, f"superseded in a circle: {' > '.join([*chain, following])}"
        chain.append(following)
        after = by_repo.get(following)
        if after is None:
            return following, f"superseded: {' > '.join(chain)}, which is not in the index"
        following = after.summary.superseded_by
    if len(chain) == 1:
        return None, ""
    last = by_repo[chain[-1]].summary
    ends = "" if last.state == "active" else f", which is {last.state}"
    return chain[-1], f"superseded: {' > '.join(chain)}{ends}"


def _by_base(entries: Sequence[Entry], hub: Hub) -> list[Stale]:
    """Entries whose base has other weights on `main`; one card is read for each base in use."""
    groups: dict[tuple[str, str], list[Entry]] = {}
    for entry in entries:
        groups.setdefault((entry.summary.base_repo, entry.summary.base_weights), []).append(entry)
    with ThreadPoolExecutor(PARALLEL) as pool:
        whys = pool.map(lambda group: _base_reason(group[0], hub), groups.values())
        return [
            _stale(entry, *why)
            for group, why in zip(groups.values(), whys, strict=True)
            if why is not None
            for entry in group
        ]


def _base_reason(entry: Entry, hub: Hub) -> tuple[Why, str] | None:
    if entry.summary.base_weights == "unknown":
        return "undetermined", "its card names no weights of its base yet"
    base = entry.summary.base_repo
    try:
        document: CardDocument = entry.document
    except NotFit as problem:
        return "undetermined", problem.message
    try:
        now = reach(hub, base, "main")
    except NotFit as problem:
        return "base", problem.message
    recorded = document.card.base.weights
    wanted = set() if recorded == "unknown" else set(recorded.values())
    there = {file.sha256 for file in now.files}
    if wanted <= there:
        return None
    return "base", f"{base} has other weights on main ({now.revision[:12]}) than its card names"


def _stale(entry: Entry, why: Why, reason: str, successor: str | None = None) -> Stale:
    seen = entry.summary
    return Stale(entry.repo, seen.region, seen.family, why, reason, successor)
