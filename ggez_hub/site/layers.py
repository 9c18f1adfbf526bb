"""What resolution takes for each country, by family and policy: what the map is coloured by.

The order of candidates is the resolver's, and the beta its choice on the card's curve. Whether the files
are still on the hub is not asked: `index verify` does that every day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

from ggez_hub.parity.policy import Policy
from ggez_hub.regions import Region
from ggez_hub.registry.index.entries import IndexEntry
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import Resolver, Survey
from ggez_hub.site.data_files import slug_of
from ggez_hub.site.measured_card import (
    POLICIES,
    Json,
    MeasuredCard,
    MeasuredSuite,
    Taken,
    figure,
    state_of,
)
from ggez_hub.site.source import CardSource

# By path of the card: what it gives for a country by each policy that gives a beta.
ServedBy: TypeAlias = Mapping[str, Mapping[Policy, Taken]]


@dataclass(frozen=True)
class CardFacts:
    """What of a card is kept while the site is built."""

    path: str
    repo: str
    family: str
    region: str
    state: str
    suite: MeasuredSuite | None
    measured_by: str | None
    languages: tuple[str, ...]

    @classmethod
    def of(cls, measured: MeasuredCard) -> CardFacts:
        card, entry = measured.card, measured.entry
        languages = () if isinstance(card.languages, str) else tuple(card.languages)
        return cls(
            entry.card.path,
            entry.repo,
            card.family,
            card.region,
            card.status.state,
            measured.suite,
            measured.measured_by,
            languages,
        )


def candidates(source: CardSource, country: Region, family: str) -> Iterator[str]:
    """The cards of a family for a country, in the order in which resolution tries their adapters."""
    resolver = Resolver.of(Request(country.id, family=family), source.hub)
    listing = source.of([region.id for region in resolver.chain])
    order = Survey.of(resolver, listing).order
    for candidate in order if source.is_hubs else replace(order, dates_of=_registered):
        yield candidate.entry.card.path


def _registered(entries: Sequence[IndexEntry]) -> list[str]:
    return [entry.summary.registered or "" for entry in entries]


def taken_by_policy(
    order: Iterable[str], served: ServedBy
) -> Iterator[tuple[Policy, str, Taken | None]]:
    """For each policy the first adapter that gives a beta; without one the first, which has none."""
    left, first = list(POLICIES), None
    for path in order:
        first = first or path
        for policy in [policy for policy in left if policy in served.get(path, {})]:
            left.remove(policy)
            yield policy, path, served[path][policy]
        if not left:
            return
    if first is not None:
        yield from ((policy, first, None) for policy in left)


def layer_row(facts: CardFacts, taken: Taken | None) -> Json:
    """A country of a layer."""
    gain = taken.gain if taken else None
    return {
        "adapter": slug_of(facts.path),
        "title": facts.repo.rpartition("/")[2],
        "beta": taken and taken.beta,
        "suite": facts.suite.id if facts.suite and gain else None,
        "measured_by": facts.measured_by if gain else None,
        **figure(gain),
        "state": state_of(facts.measured_by, gain),
    }
