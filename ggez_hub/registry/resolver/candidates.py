"""Candidates: why a card rules its adapter out, the order of the others, the message without any.

The order is total: the nearer region first; within a region, adapters that the registry has measured
on the same tasks, with the same base and for the same items, are rivals: the better GRP at the
requested alpha first. Scores of different tasks are never compared: a group of rivals takes the
place of its best, among the others by date, the newest first, then by name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.command_line import command_line
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.quantities import counted
from ggez_hub.regions import Region, fallback_chain
from ggez_hub.regions.catalogue import catalogue
from ggez_hub.regions.lookup import language_reading
from ggez_hub.registry.adapter_kinds import get_kind
from ggez_hub.registry.index.entries import IndexEntry, Listing
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import Rejected

# For each the day on which the adapter was registered, or else committed (ISO 8601).
DatesOf: TypeAlias = Callable[[Sequence[IndexEntry]], Sequence[str]]
# The region of a card that cannot be read.
UNREAD_REGION = "?"
SHOWN_UNREAD, SHOWN_LINES, SHOWN_WIDTH = 5, 5, 300


@dataclass(frozen=True)
class RankedCandidate:
    """An entry, its GRP where the registry measured one, and the best of its rivals, or itself."""

    entry: IndexEntry
    grp: float | None
    best: IndexEntry

    def after(self, first: RankedCandidate) -> str:
        name = first.entry.repo
        if self.best is first.entry and first.grp is not None and self.grp is not None:
            if first.grp > self.grp:
                return (
                    f"{name} comes first: GRP {first.grp:.2f} to {self.grp:.2f} on the same tasks"
                )
            return f"{name} comes first: the GRP is the same, and it is newer or first by name"
        if self.best is not self.entry:
            return f"{name} comes first, and {self.best.repo} is better on the same tasks"
        return f"{name} comes first: it is newer, or of the same day and first by name"


@dataclass(frozen=True)
class CandidateOrder:
    """Candidates in order, those of a region ranked when they are asked for.

    All of them serve a region of `chain`, which begins with the requested one. `dates_of` is asked
    only where the date decides.
    """

    entries: tuple[IndexEntry, ...]
    chain: tuple[Region, ...]
    alpha: float
    dates_of: DatesOf
    _tiers: dict[str, tuple[RankedCandidate, ...]] = field(
        default_factory=dict, repr=False, compare=False
    )

    def __iter__(self) -> Iterator[RankedCandidate]:
        for region in self.chain:
            yield from self._tier(region.id)

    def others(self, first: RankedCandidate) -> Iterator[tuple[IndexEntry, str]]:
        """All candidates but `first`, which is taken, each with the reason against it."""
        name, taken = first.entry.repo, first.entry.summary
        regions = [region.id for region in self.chain]
        place = regions.index(taken.region)
        before = (
            f"the index recommends {name}"
            if taken.recommended
            else f"{name} is taken, of another family or base"
        )
        nearer = f"{name} comes first: it serves {taken.region}, which is nearer"
        for here, region in enumerate(regions):
            if here != place:
                reason = before if here < place else nearer
                yield from ((entry, reason) for entry in self._of(region))
                continue
            passed = False
            for ranked in self._tier(region):
                if ranked.entry is first.entry:
                    passed = True
                else:
                    yield ranked.entry, ranked.after(first) if passed else before

    def _of(self, region: str) -> list[IndexEntry]:
        return [entry for entry in self.entries if entry.summary.region == region]

    def _tier(self, region: str) -> tuple[RankedCandidate, ...]:
        if region not in self._tiers:
            self._tiers[region] = tuple(self._ranked(region))
        return self._tiers[region]

    def _ranked(self, region: str) -> Iterator[RankedCandidate]:
        groups: dict[Hashable, list[tuple[IndexEntry, float | None]]] = {}
        for entry in sorted(self._of(region), key=_identity):
            rivals, grp = _merit(entry, self.chain[0], self.alpha)
            groups.setdefault(rivals, []).append((entry, grp))
        ordered = [_within(group, self.dates_of) for group in groups.values()]
        by_best = {_identity(group[0].entry): group for group in ordered}
        for best in _newest([group[0].entry for group in ordered], self.dates_of):
            yield from by_best[_identity(best)]


def _merit(entry: IndexEntry, region: Region, alpha: float) -> tuple[Hashable, float | None]:
    """Whom an entry is compared with, and its GRP; without a measured one nobody."""
    alone = _identity(entry)
    if entry.summary.base_weights == UNKNOWN:
        return alone, None
    try:
        measured = MeasuredCurve(entry.ranking, "independent", entry.summary.region)
        best = select_beta(measured, alpha, region.id)
    except NoCurve:
        return alone, None
    tasks = frozenset(row.task for rows in entry.ranking.values() for row in rows.values())
    return (entry.summary.base_weights, tasks, best.curve.scale, best.curve.region), best.grp


def _within(
    group: list[tuple[IndexEntry, float | None]], dates_of: DatesOf
) -> list[RankedCandidate]:
    group.sort(key=lambda rival: -(rival[1] or 0.0))
    ordered = [
        (entry, grp)
        for grp, equal in groupby(group, key=lambda rival: rival[1])
        for entry in _newest([entry for entry, _ in equal], dates_of)
    ]
    return [RankedCandidate(entry, grp, ordered[0][0]) for entry, grp in ordered]


def _newest(entries: list[IndexEntry], dates_of: DatesOf) -> list[IndexEntry]:
    if len(entries) < 2:
        return entries
    named = sorted(entries, key=_identity)
    dated = sorted(zip(dates_of(named), named, strict=True), key=lambda d: d[0], reverse=True)
    return [entry for _, entry in dated]


def _identity(entry: IndexEntry) -> tuple[str, str, str]:
    return entry.repo, entry.revision, entry.card.path


def unfit(entry: IndexEntry, request: Request) -> str | None:
    """Why a card rules its adapter out for `request` in any region, or None.

    What the request names needs no trust beside, unless it restricts it to organisations.
    """
    card = entry.summary
    if request.family is not None and card.family != request.family:
        return f"is of the family {card.family}"
    if card.state != "active":
        return f"is {card.status}"
    if card.license == UNKNOWN:
        return "has no known licence"
    trusted = request.trust.split(",")
    owner = entry.repo.partition("/")[0]
    untrusted = not entry.accepted and request.trust != "any" and owner not in trusted
    if untrusted and not (request.adapters and request.trust == Request.trust):
        return f"is not in the curated index, and {owner} is not trusted (--trust)"
    return _of_kind(card.kind, request)


def serves_other(region: str, chain: Sequence[Region]) -> str:
    """The reason against an adapter of a region that is not in the chain."""
    return f"serves {region}, which is not in {' > '.join(r.id for r in chain)}"


def _of_kind(name: str, request: Request) -> str | None:
    kind = get_kind(name)
    if request.form not in kind.forms:
        return f"{kind.lacking} (--as {request.form})"
    if kind.combined:
        return None
    asked = {
        "--beta": request.beta is not None,
        "--base": request.base is not None,
        "--method": request.method != Request.method,
        "--out-dtype": request.out_dtype is not None,
    }
    if any(asked.values()):
        choices = ", ".join(name for name, given in asked.items() if given)
        return f"is {kind.noun}, taken as it is: {choices} cannot be chosen"
    return None


def nothing_found(
    request: Request,
    chain: Sequence[Region],
    found: Listing,
    rejected: Sequence[Rejected],
) -> tuple[str, str]:
    """The message and the way out: another region that was meant, a wider one, what there is."""
    region, names = chain[0], [link.id for link in chain]
    near = [r for r in rejected if r.region in names]
    near += [r for r in rejected if r.region == UNREAD_REGION][:SHOWN_UNREAD]
    lines = "".join(f"\n  {r.repo} {_first_lines(r.reason)}" for r in near)
    what = f" of the family {request.family}" if request.family else ""
    here = {(e.summary.region, e.summary.family) for e in found.entries}
    there = {(e.region, e.family) for e in found.elsewhere}
    served = [f"{place} ({family})" for place, family in sorted(here | there)]
    hints = [
        _likely_other(request, region, {place for place, _ in here | there}),
        _wider(request, region, {place for place, _ in there}),
        f"{'There is' if found.shipped else 'This hub serves'}: {', '.join(served) or 'nothing'}.",
        f"{found.shipped}." if found.shipped else "",
    ]
    return (
        f"no adapter{what} serves {region.id} ({region.name}); looked for: "
        f"{', '.join(names)}{lines}",
        "\n".join(hint for hint in hints if hint),
    )


def _first_lines(reason: str) -> str:
    """A reason without its long tail: a card may be wrong in many places."""
    lines = reason.splitlines() or [""]
    more = (
        [f"    and {counted(len(lines) - SHOWN_LINES, 'more line')}"]
        if len(lines) > SHOWN_LINES
        else []
    )
    return "\n".join([*(line[:SHOWN_WIDTH] for line in lines[:SHOWN_LINES]), *more])


def _likely_other(request: Request, region: Region, served: set[str]) -> str:
    reading = language_reading(region, request.region)
    if reading is None:
        return ""
    for other in reading.official_in:
        chain = fallback_chain(other)
        if other != region.id and any(link.id in served for link in chain):
            return (
                f"Did you mean {other} ({catalogue()[other].name})? {reading.code} is the language "
                f"{reading.language}: {command_line('pull', {'--region': other})}"
            )
    return ""


def _wider(request: Request, region: Region, served: set[str]) -> str:
    if request.wide:
        return ""
    wider = [link.id for link in fallback_chain(region, wide=True) if link.id in served]
    return f"{wider[0]} is served: add --fallback wide." if wider else ""
