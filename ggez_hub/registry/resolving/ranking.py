"""The order of candidates: a total one, whatever order they come in.

Nearer region first. Within a region, adapters that the registry has measured on the same tasks,
with the same base and for the same items are rivals: the better GRP at the requested alpha comes
first. Scores of different tasks are never compared, so a group of rivals takes the place of its
best, among the others by date, the newest first, then by name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from itertools import groupby

from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.parity.choice import select_beta
from ggez_hub.parity.rows import NoCurve
from ggez_hub.regions import Region
from ggez_hub.registry.index.entries import Entry

DateOf = Callable[[Entry], str]
"""The day on which an adapter was registered, or else committed (ISO 8601)."""


@dataclass(frozen=True)
class Ranked:
    """An entry, its GRP where the registry measured one, and the best of its rivals, or itself."""

    entry: Entry
    grp: float | None
    best: Entry

    def after(self, first: Ranked) -> str:
        """Why it comes after `first`, of the same region."""
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
class Order:
    """Candidates in order, those of a region ranked when they are asked for.

    All of them serve a region of `chain`, which begins with the requested one. `date_of` is asked
    only where the date decides.
    """

    entries: tuple[Entry, ...]
    chain: tuple[Region, ...]
    alpha: float
    date_of: DateOf
    _tiers: dict[str, tuple[Ranked, ...]] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Ranked]:
        for region in self.chain:
            yield from self._tier(region.id)

    def others(self, first: Ranked) -> Iterator[tuple[Entry, str]]:
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

    def _of(self, region: str) -> list[Entry]:
        return [entry for entry in self.entries if entry.summary.region == region]

    def _tier(self, region: str) -> tuple[Ranked, ...]:
        if region not in self._tiers:
            self._tiers[region] = tuple(self._ranked(region))
        return self._tiers[region]

    def _ranked(self, region: str) -> Iterator[Ranked]:
        groups: dict[Hashable, list[tuple[Entry, float | None]]] = {}
        for entry in sorted(self._of(region), key=_identity):
            rivals, grp = _merit(entry, self.chain[0], self.alpha)
            groups.setdefault(rivals, []).append((entry, grp))
        ordered = [_within(group, self.date_of) for group in groups.values()]
        by_best = {_identity(group[0].entry): group for group in ordered}
        for best in _newest([group[0].entry for group in ordered], self.date_of):
            yield from by_best[_identity(best)]


def _merit(entry: Entry, region: Region, alpha: float) -> tuple[Hashable, float | None]:
    """Whom an entry is compared with, and its GRP; without a measured one nobody."""
    alone = _identity(entry)
    if entry.summary.base_weights == "unknown":
        return alone, None
    try:
        measured = MeasuredCurve(entry.ranking, "independent", entry.summary.region)
        best = select_beta(measured, alpha, region.id)
    except NoCurve:
        return alone, None
    tasks = frozenset(row.task for rows in entry.ranking.values() for row in rows.values())
    return (entry.summary.base_weights, tasks, best.curve.scale, best.curve.region), best.grp


def _within(group: list[tuple[Entry, float | None]], date_of: DateOf) -> list[Ranked]:
    """Rivals by GRP, the best first."""
    group.sort(key=lambda rival: -(rival[1] or 0.0))
    ordered = [
        (entry, grp)
        for grp, equal in groupby(group, key=lambda rival: rival[1])
        for entry in _newest([entry for entry, _ in equal], date_of)
    ]
    return [Ranked(entry, grp, ordered[0][0]) for entry, grp in ordered]


def _newest(entries: list[Entry], date_of: DateOf) -> list[Entry]:
    """Newest first, then by name."""
    if len(entries) < 2:
        return entries
    return sorted(sorted(entries, key=_identity), key=date_of, reverse=True)


def _identity(entry: Entry) -> tuple[str, str, str]:
    return entry.repo, entry.revision, entry.card.path
