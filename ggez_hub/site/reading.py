"""One pass over all cards: the page of each is written, and little of it is kept."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ggez_hub.parity.policy import Policy
from ggez_hub.progress import task
from ggez_hub.regions import Region, find_region
from ggez_hub.regions.text_language import script_of_language
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.entries import UnreadableCard
from ggez_hub.site.adapter_page import adapter_page, pull_lines
from ggez_hub.site.data_files import write_data
from ggez_hub.site.layers import CardFacts
from ggez_hub.site.measured_card import POLICIES, Json, MeasuredCard, Taken, figure
from ggez_hub.site.source import CardSource
from ggez_hub.site.territories import serving

# What an adapter's page and its row on the page of a country have in common.
SHARED = ("slug", "title", "repo", "family", "kind", "region", "level", "license", "bytes",
          "runtimes", "status", "policy", "gates")  # fmt: skip


@dataclass
class Cards:
    """What is kept of all cards.

    facts   path of the card -> what decides about it
    served  country -> path -> policy -> what is taken; of active adapters
    shown   country -> rows of its page
    rows    of the table of all adapters, one for each card
    """

    facts: dict[str, CardFacts] = field(default_factory=dict)
    served: dict[str, dict[str, Mapping[Policy, Taken]]] = field(
        default_factory=lambda: defaultdict(dict)
    )
    shown: dict[str, list[Json]] = field(default_factory=lambda: defaultdict(list))
    rows: list[Json] = field(default_factory=list)
    left_out: list[UnreadableCard] = field(default_factory=list)


def read_cards(source: CardSource, folder: Path) -> Cards:
    """Read every card of the source, and write its page below `folder`."""
    cards = Cards(left_out=list(source.listing.unreadable))
    regions = sorted({entry.summary.region for entry in source.listing.entries})
    with task("reading cards", len(source.listing.entries), "steps") as reading:
        for region in regions:
            for entry in source.of([region]).entries:
                reading.advance()
                try:
                    measured = MeasuredCard(entry, entry.document)
                except NotFit as problem:
                    cards.left_out.append(UnreadableCard(entry.card.path, problem.message))
                    continue
                _keep(cards, measured, source, folder)
    return cards


def write_page(folder: Path, page: Json) -> None:
    """Write the page of an adapter; there is a folder for each region."""
    write_data(folder, f"adapters/{page['region']}/{page['slug']}", page)


def _keep(cards: Cards, measured: MeasuredCard, source: CardSource, folder: Path) -> None:
    path, page = measured.entry.card.path, adapter_page(measured, source)
    facts = cards.facts[path] = CardFacts.of(measured)
    write_page(folder, page)
    cards.rows.append(_table_row(measured, page))
    for country in serving(facts.region):
        region = find_region(country)
        served = measured.by_policy(region)
        if facts.state == "active":
            cards.served[country][path] = served
        cards.shown[country].append(_country_row(measured, page, region, served, source))


def _table_row(measured: MeasuredCard, page: Json) -> Json:
    own = measured.taken(measured.home, measured.policy)
    gain = own.gain if own and measured.measured_by == "registry" else None
    return {
        "slug": page["slug"],
        "title": page["title"],
        "repo": page["repo"],
        "regions": [page["region"]],
        "languages": page["languages"],
        "scripts": sorted({script for tag in page["languages"] if (script := _script(tag))}),
        "family": page["family"],
        "base": page["base"]["repo"],
        "license": page["license"],
        "level": page["level"],
        "bytes": page["bytes"],
        "runtimes": page["runtimes"],
        "gain": gain.value if gain else None,
        "status": page["status"],
    }


def _script(tag: str) -> str | None:
    try:
        found = script_of_language(tag)
    except ValueError:  # a tag of the right form that nobody has registered
        return None
    return None if found == "Zzzz" else found


def _country_row(
    measured: MeasuredCard,
    page: Json,
    region: Region,
    served: Mapping[Policy, Taken],
    source: CardSource,
) -> Json:
    """An adapter on the page of a country that it serves."""
    own = measured.taken(region, measured.policy)
    gain = own.gain if own else None
    return {
        **{name: page[name] for name in SHARED},
        # Whether a licence has to be accepted first is read when it is pulled.
        "gated": None,
        "beta": {
            str(policy): served[policy].beta if policy in served else None for policy in POLICIES
        },
        "pull": pull_lines(measured, region, source, served),
        "suite": measured.suite.id if measured.suite and gain else None,
        "measured_by": measured.measured_by if gain else None,
        **figure(gain),
    }
