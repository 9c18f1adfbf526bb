"""Accepted adapters against their hub: what is wrong (`index verify`), what is out of date."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Literal, TypeAlias

from huggingface_hub.errors import GatedRepoError

from ggez_hub.cards.readme import license_of
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.hub import Hub
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.entries import IndexEntry, Listing
from ggez_hub.registry.repositories import PARALLEL, Repositories, problems_on_hub, reach

# What the Hub answers at once without slowing a client down.
Why: TypeAlias = Literal["yanked", "deprecated", "superseded", "base", "undetermined"]


@dataclass(frozen=True)
class IndexProblem:
    """What is wrong with an accepted card: its path in the index, its adapter, and the reason."""

    card: str
    repo: str
    problem: str


@dataclass(frozen=True)
class IndexVerification:
    """The problems; how many entries were checked; those that name no sha256s to check yet.

    Yanked adapters are never taken, so they are not checked.
    """

    problems: tuple[IndexProblem, ...]
    checked: int
    unpinned: tuple[str, ...]
    yanked: tuple[str, ...]


@dataclass(frozen=True)
class StaleEntry:
    """An adapter that is out of date: why, in words, and the adapter that replaces it, if any.

    `base`: the base's repository has other weights on `main` now, or is gone. `undetermined`:
    its card, or its base, cannot be read.
    """

    repo: str
    region: str
    family: str
    why: Why
    reason: str
    successor: str | None = None


def verify_entries(listing: Listing, hub: Hub) -> IndexVerification:
    """Check every entry: repositories, commits, files with sizes and sha256s, base weights, licence.

    No weights are fetched. Raises what the client raises if the hub fails.
    """
    entries = [e for e in listing.entries if e.summary.state != "yanked"]
    repositories = Repositories(hub)
    with ThreadPoolExecutor(PARALLEL) as pool:
        unreadable = list(pool.map(_unreadable, entries))
        cards = [e.document.card for e, why in zip(entries, unreadable, strict=True) if why is None]
        places = {
            (place.repo, place.revision)
            for card in cards
            for place in (card.base, card.adapter)
            if place
        }
        repositories.ask_for(places)
        found = pool.map(
            lambda e, why: list(_reasons(e, repositories)) if why is None else [why],
            entries,
            unreadable,
        )
        problems = [
            IndexProblem(entry.card.path, entry.repo, reason)
            for entry, reasons in zip(entries, found, strict=True)
            for reason in reasons
        ]
    broken = [IndexProblem(u.path, "?", u.reason) for u in listing.unreadable]
    return IndexVerification(
        problems=tuple(sorted(broken + problems, key=lambda p: (p.card, p.problem))),
        checked=len(entries) + len(broken),
        unpinned=tuple(sorted(c.adapter.repo for c in cards if not c.pinned and c.adapter)),
        yanked=tuple(sorted(e.repo for e in listing.entries if e.summary.state == "yanked")),
    )


def _unreadable(entry: IndexEntry) -> str | None:
    try:
        _ = entry.document
    except NotFit as problem:
        return problem.message
    return None


def _reasons(entry: IndexEntry, repositories: Repositories) -> Iterator[str]:
    yield from (p.text for p in problems_on_hub(entry.document.card, repositories))
    try:
        declared = license_of(repositories.at(entry.repo, entry.revision).front_matter)
    except (NotFit, GatedRepoError):
        return  # one of the reasons above
    if declared not in {UNKNOWN, entry.document.license}:
        yield f"has the licence {declared} on the hub, {entry.document.license} in its card"


def stale_entries(listing: Listing, hub: Hub, region: str | None = None) -> tuple[StaleEntry, ...]:
    """The stale entries of an index (of `region` alone), sorted by region and name.

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
    if why := _unreadable(entry):
        return "undetermined", why
    recorded, base = entry.document.card.base.weights, entry.summary.base_repo
    if recorded == UNKNOWN:
        return "undetermined", "its card names no weights of its base yet"
    try:
        now = reach(hub, base, "main")
    except NotFit as problem:
        return "base", problem.message
    if set(recorded.values()) <= {file.sha256 for file in now.files}:
        return None
    return "base", f"{base} has other weights on main ({now.revision[:12]}) than its card names"


def _stale(entry: IndexEntry, why: Why, reason: str, successor: str | None = None) -> StaleEntry:
    seen = entry.summary
    return StaleEntry(entry.repo, seen.region, seen.family, why, reason, successor)
