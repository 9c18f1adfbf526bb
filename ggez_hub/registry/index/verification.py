"""`index verify`: what accepted cards say, against the hub that holds the adapters."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal

from huggingface_hub.errors import GatedRepoError

from ggez_hub.cards import AdapterCard, CardDocument
from ggez_hub.cards.readme import license_of
from ggez_hub.hub import Hub
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.entries import IndexEntry, Listing
from ggez_hub.registry.repositories import Repositories, problems_on_hub, reach

# What the Hub answers at once without slowing a client down.
PARALLEL = 8


@dataclass(frozen=True)
class IndexProblem:
    """What is off with an accepted card: its path in the index, its adapter, and the reason."""

    card: str
    repo: str
    problem: str


@dataclass(frozen=True)
class IndexVerification:
    """The problems; how many entries were checked; those that name no sha256s to check yet.

    Yanked adapters are never taken, so that they are not checked.
    """

    problems: tuple[IndexProblem, ...]
    checked: int
    unpinned: tuple[str, ...]
    yanked: tuple[str, ...]


def verify_entries(listing: Listing, hub: Hub) -> IndexVerification:
    """Check every entry: repositories, commits, files with sizes and sha256s, base weights, licence.

    No weights are fetched. Raises what the client raises if the hub fails.
    """
    entries = [e for e in listing.entries if e.summary.state != "yanked"]
    source = Repositories(hub)
    with ThreadPoolExecutor(PARALLEL) as pool:
        documents = list(pool.map(_document, entries))
        cards = [d.card for d in documents if isinstance(d, CardDocument)]
        source.ask_for(sorted({place for card in cards for place in _places(card)}), pool)
        found = pool.map(lambda e, d: list(_reasons(e, d, source)), entries, documents)
        problems = [
            IndexProblem(entry.card.path, entry.repo, reason)
            for entry, reasons in zip(entries, found, strict=True)
            for reason in reasons
        ]
    broken = [IndexProblem(u.repo, "?", u.reason) for u in listing.unreadable]
    return IndexVerification(
        problems=tuple(sorted(broken + problems, key=lambda p: (p.card, p.problem))),
        checked=len(entries) + len(broken),
        unpinned=tuple(sorted(c.adapter.repo for c in cards if not c.pinned and c.adapter)),
        yanked=tuple(sorted(e.repo for e in listing.entries if e.summary.state == "yanked")),
    )


def _document(entry: IndexEntry) -> CardDocument | NotFit:
    try:
        return entry.document
    except NotFit as problem:
        return problem


def _places(card: AdapterCard) -> Iterator[tuple[str, str]]:
    yield card.base.repo, card.base.revision
    if card.adapter is not None:
        yield card.adapter.repo, card.adapter.revision


def _reasons(
    entry: IndexEntry, document: CardDocument | NotFit, source: Repositories
) -> Iterator[str]:
    if isinstance(document, NotFit):
        yield document.message
        return
    yield from (problem.text for problem in problems_on_hub(document.card, source))
    try:
        declared = license_of(source.at(entry.repo, entry.revision).front_matter)
    except (NotFit, GatedRepoError):
        return  # one of the reasons above
    if declared not in {"unknown", document.license}:
        yield f"has the licence {declared} on the hub, {document.license} in its card"


Why = Literal["yanked", "deprecated", "superseded", "base", "undetermined"]


@dataclass(frozen=True)
class StaleEntry:
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


def stale_entries(listing: Listing, hub: Hub, region: str | None = None) -> tuple[StaleEntry, ...]:
    """The stale entries of a whole index (of `region` alone), sorted by region and name.

    An entry may be stale for more than one reason.
    """
    by_repo = {entry.repo: entry for entry in listing.entries}
    asked = [e for e in listing.entries if region in {None, e.summary.region}]
    found = [s for entry in asked for s in _by_status(entry, by_repo)]
    found += _by_base([e for e in asked if e.summary.state == "active"], hub)
    return tuple(sorted(found, key=lambda s: (s.region, s.repo, s.why)))


def _by_status(entry: IndexEntry, by_repo: Mapping[str, IndexEntry]) -> Iterator[StaleEntry]:
    seen = entry.summary
    successor, words = _successor(entry, by_repo)
    if seen.state != "active":
        reason = seen.reason or "no reason given"
        yield _stale(entry, seen.state, f"{reason}{'; ' if words else ''}{words}", successor)
    elif words:
        yield _stale(entry, "superseded", words, successor)


def _successor(entry: IndexEntry, by_repo: Mapping[str, IndexEntry]) -> tuple[str | None, str]:
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


def _by_base(entries: Sequence[IndexEntry], hub: Hub) -> list[StaleEntry]:
    """Entries whose base has other weights on `main`; one card is read for each base in use."""
    groups: dict[tuple[str, str], list[IndexEntry]] = {}
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


def _base_reason(entry: IndexEntry, hub: Hub) -> tuple[Why, str] | None:
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


def _stale(entry: IndexEntry, why: Why, reason: str, successor: str | None = None) -> StaleEntry:
    seen = entry.summary
    return StaleEntry(entry.repo, seen.region, seen.family, why, reason, successor)
