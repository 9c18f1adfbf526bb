"""`index verify`: what accepted cards say, against the hub that holds the adapters."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from huggingface_hub.errors import GatedRepoError

from ggez_hub.cards import CardDocument
from ggez_hub.cards.document import license_of
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.registry.index.entries import Entry, Listing
from ggez_hub.registry.resolving.pinning import reach
from ggez_hub.registry.resolving.vetting import NotFit, vet_adapter, vet_base

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


Place = tuple[str, str]
Reached = Mapping[Place, RepoAtCommit | NotFit]


def verify_entries(listing: Listing, hub: Hub) -> Verified:
    """Check every entry: repositories, commits, files with sizes and sha256s, base weights, licence.

    No weights are fetched. Raises what the client raises if the hub fails.
    """
    entries = [e for e in listing.entries if e.summary.state != "yanked"]
    with ThreadPoolExecutor(PARALLEL) as pool:
        documents = list(pool.map(_document, entries))
        places = {place for d in documents if isinstance(d, CardDocument) for place in _places(d)}
        ordered = sorted(places)
        reached = dict(zip(ordered, pool.map(lambda p: _reach(hub, p), ordered), strict=True))
        found = pool.map(lambda e, d: list(_problems(e, d, reached, hub)), entries, documents)
        problems = [problem for problems in found for problem in problems]
    broken = [Problem(u.repo, "?", u.reason) for u in listing.unreadable]
    return Verified(
        problems=tuple(sorted(broken + problems, key=lambda p: (p.card, p.problem))),
        checked=len(entries) + len(broken),
        unpinned=tuple(
            sorted(
                d.card.adapter.repo
                for d in _read(documents)
                if not d.card.pinned and d.card.adapter
            )
        ),
        yanked=tuple(sorted(e.repo for e in listing.entries if e.summary.state == "yanked")),
    )


def _document(entry: Entry) -> CardDocument | NotFit:
    try:
        return entry.document
    except NotFit as problem:
        return problem


def _read(documents: Iterable[CardDocument | NotFit]) -> Iterator[CardDocument]:
    return (d for d in documents if isinstance(d, CardDocument))


def _places(document: CardDocument) -> Iterator[Place]:
    card = document.card
    yield card.base.repo, card.base.revision
    if card.adapter is not None:
        yield card.adapter.repo, card.adapter.revision


def _reach(hub: Hub, place: Place) -> RepoAtCommit | NotFit:
    try:
        return reach(hub, *place)
    except GatedRepoError:
        return NotFit(f"needs {place[0]}, which is gated: this account has no access to check it")
    except NotFit as problem:
        return problem


def _problems(
    entry: Entry, document: CardDocument | NotFit, reached: Reached, hub: Hub
) -> Iterator[Problem]:
    for reason in _reasons(entry, document, reached, hub):
        yield Problem(entry.card.path, entry.repo, reason)


def _reasons(
    entry: Entry, document: CardDocument | NotFit, reached: Reached, hub: Hub
) -> Iterator[str]:
    if isinstance(document, NotFit):
        yield document.message
        return
    card = document.card
    adapter = reached[entry.repo, entry.revision]
    base = reached[card.base.repo, card.base.revision]
    try:
        if isinstance(adapter, NotFit):
            raise adapter
        declared = license_of(adapter.front_matter)
        if declared not in {"unknown", document.license}:
            yield f"has the licence {declared} on the hub, {document.license} in its card"
        if card.files != "unknown":
            vet_adapter(adapter, card, hub)
    except NotFit as problem:
        yield problem.message
    try:
        if isinstance(base, NotFit):
            raise base
        if card.base.weights != "unknown":
            vet_base(base, card, hub)
    except NotFit as problem:
        yield problem.message
