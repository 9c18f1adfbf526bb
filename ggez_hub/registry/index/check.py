"""`index verify`: what accepted cards say, against the hub that holds the adapters."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from huggingface_hub.errors import GatedRepoError

from ggez_hub.cards import AdapterCard, CardDocument
from ggez_hub.cards.readme import license_of
from ggez_hub.hub import Hub
from ggez_hub.registry.contributing.checking import reasons_on_hub
from ggez_hub.registry.index.entries import Entry, Listing
from ggez_hub.registry.resolving.source import Source
from ggez_hub.registry.resolving.vetting import NotFit

# What the Hub answers at once without slowing a client down.
PARALLEL = 8


@dataclass(frozen=True)
class Problem:
    """What is off with an accepted card: its path in the index, its adapter, and the reason."""

    card: str
    repo: str
    problem: str


@dataclass(frozen=True)
class Verified:
    """The problems; how many entries were checked; those that name no sha256s to check yet.

    Yanked adapters are never taken, so that they are not checked.
    """

    problems: tuple[Problem, ...]
    checked: int
    unpinned: tuple[str, ...]
    yanked: tuple[str, ...]


def verify_entries(listing: Listing, hub: Hub) -> Verified:
    """Check every entry: repositories, commits, files with sizes and sha256s, base weights, licence.

    No weights are fetched. Raises what the client raises if the hub fails.
    """
    entries = [e for e in listing.entries if e.summary.state != "yanked"]
    source = Source(hub)
    with ThreadPoolExecutor(PARALLEL) as pool:
        documents = list(pool.map(_document, entries))
        cards = [d.card for d in documents if isinstance(d, CardDocument)]
        source.ask_for(sorted({place for card in cards for place in _places(card)}), pool)
        found = pool.map(lambda e, d: list(_reasons(e, d, source)), entries, documents)
        problems = [
            Problem(entry.card.path, entry.repo, reason)
            for entry, reasons in zip(entries, found, strict=True)
            for reason in reasons
        ]
    broken = [Problem(u.repo, "?", u.reason) for u in listing.unreadable]
    return Verified(
        problems=tuple(sorted(broken + problems, key=lambda p: (p.card, p.problem))),
        checked=len(entries) + len(broken),
        unpinned=tuple(sorted(c.adapter.repo for c in cards if not c.pinned and c.adapter)),
        yanked=tuple(sorted(e.repo for e in listing.entries if e.summary.state == "yanked")),
    )


def _document(entry: Entry) -> CardDocument | NotFit:
    try:
        return entry.document
    except NotFit as problem:
        return problem


def _places(card: AdapterCard) -> Iterator[tuple[str, str]]:
    yield card.base.repo, card.base.revision
    if card.adapter is not None:
        yield card.adapter.repo, card.adapter.revision


def _reasons(entry: Entry, document: CardDocument | NotFit, source: Source) -> Iterator[str]:
    if isinstance(document, NotFit):
        yield document.message
        return
    yield from (reason for _, reason in reasons_on_hub(document.card, source))
    try:
        declared = license_of(source.at(entry.repo, entry.revision).front_matter)
    except (NotFit, GatedRepoError):
        return  # one of the reasons above
    if declared not in {"unknown", document.license}:
        yield f"has the licence {declared} on the hub, {document.license} in its card"
