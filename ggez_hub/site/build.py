"""A site of an index: data as files of one call each, beside the page that reads them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError

from ggez_hub import __version__
from ggez_hub.atomic_files import atomic_folder
from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.families import get_family
from ggez_hub.hub import Hub
from ggez_hub.regions import Region, fallback_chain
from ggez_hub.regions.cldr import supplement
from ggez_hub.registry.index.entries import IndexEntry, UnreadableCard
from ggez_hub.registry.lock import Lock
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolution import PinnedAdapter, Resolution
from ggez_hub.registry.resolver.resolver import Resolver
from ggez_hub.site.adapter_page import adapter_page
from ggez_hub.site.data_files import slug_of, write_data, write_table
from ggez_hub.site.layers import CardFacts, candidates, layer_row, taken_by_policy
from ggez_hub.site.measured_card import POLICIES, Json, MeasuredCard
from ggez_hub.site.reading import Cards, read_cards, write_page
from ggez_hub.site.source import CardSource
from ggez_hub.site.territories import (
    alpha_table,
    countries,
    group_rows,
    most_wanted,
    region_figures,
    speakers,
)

ROWS_IN_A_PART = 2_000
CONTRIBUTE = "ggez-hub contribute ADAPTER.safetensors"


@dataclass(frozen=True)
class BuiltSite:
    """What a site was made of; `left_out` are cards that cannot be read."""

    folder: Path
    adapters: int
    countries: int
    files: int
    size: int
    left_out: tuple[UnreadableCard, ...]


def build_site(
    source: CardSource, out: Path, shell: Mapping[str, bytes], *, answers: bool = False
) -> BuiltSite:
    """Write the site of `source` as the new folder `out`; the same index gives the same bytes.

    shell: the page, its script and style, by path. With `answers` those behind the scores are fetched of
    the adapters that are taken somewhere. Raises OutputExists, and MissingExtra with `answers`.
    """
    with atomic_folder(out) as folder:
        for path, content in shell.items():
            (target := folder / path).parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
        cards = read_cards(source, folder)
        layers = _layers(source, cards)
        _complete_pages(source, cards, layers, folder, answers=answers)
        alphas = alpha_table()
        files = [
            write_table(folder, "adapters", cards.rows),
            write_table(folder, "gains", list(_gains(layers))),
            write_table(folder, "alpha", list(_alphas(alphas))),
        ]
        write_data(folder, "alpha", alphas)
        tables = _write_columns(folder, cards.rows)
        rows = [_country(country, cards) for country in countries()]
        for row in rows:
            write_data(folder, f"countries/{row['id']}", _country_page(row, cards))
        overview = _overview(source, cards, layers)
        write_data(
            folder, "overview", {**overview, "countries": rows, "tables": tables, "files": files}
        )
        sizes = [path.stat().st_size for path in folder.rglob("*") if path.is_file()]
    return BuiltSite(out, len(cards.rows), len(rows), len(sizes), sum(sizes), tuple(cards.left_out))


def _layers(source: CardSource, cards: Cards) -> list[Json]:
    """One layer for each family and policy."""
    families = sorted({facts.family for facts in cards.facts.values()})
    found: dict[tuple[str, str], Json] = {
        (family, str(policy)): {} for family in families for policy in POLICIES
    }
    for country in countries():
        here = {cards.facts[path].family for path in cards.served.get(country.id, ())}
        for family in sorted(here):
            order = candidates(source, country, family)
            served = cards.served[country.id]
            for policy, path, taken in taken_by_policy(order, served):
                found[family, str(policy)][country.id] = layer_row(cards.facts[path], taken)
    return [
        {"family": family, "policy": policy, "countries": rows}
        for (family, policy), rows in found.items()
    ]


def _complete_pages(
    source: CardSource, cards: Cards, layers: Iterable[Json], folder: Path, *, answers: bool
) -> None:
    """Write the pages again of adapters that are taken somewhere: with their locks, and with `answers`
    what these decide."""
    taken = {row["adapter"] for layer in layers for row in layer["countries"].values()}
    entries = source.listing.entries if source.is_hubs else ()
    for entry in entries:
        slug = slug_of(entry.card.path)
        found = _resolution_of(entry, source.hub) if slug in taken else None
        if found is None:
            continue
        # What comes out is not recorded: nothing was made.
        lock = Lock(outputs={}, resolution=found).to_text()
        page = adapter_page(MeasuredCard(entry, entry.document), source, lock)
        if answers:
            page = _with_answers(page, found.adapters[0], source.hub, folder)
            for row in (row for rows in cards.shown.values() for row in rows):
                if row["slug"] == slug:
                    row["gates"] = page["gates"]
        write_page(folder, page)


def _resolution_of(entry: IndexEntry, hub: Hub) -> Resolution | None:
    """The resolution of an adapter for its own region; None where the hub does not give what it pins."""
    try:
        return Resolver.of(Request(entry.summary.region), hub).take([entry]).resolution
    except (GgezError, HfHubHTTPError, OSError):
        return None


def _with_answers(page: Json, adapter: PinnedAdapter, hub: Hub, folder: Path) -> Json:
    from ggez_hub.site.answers import add_answers

    try:
        return add_answers(page, adapter, hub, folder)
    except MissingExtra:
        raise
    except (GgezError, HfHubHTTPError, OSError):
        # Without its answers a page has what the card gives.
        return page


def _country(country: Region, cards: Cards) -> Json:
    served = [cards.facts[path] for path in cards.served.get(country.id, ())]
    measured = (facts for facts in served if facts.measured_by == "registry")
    spoken = speakers(country)
    return {
        **region_figures(country),
        "numeric": supplement().numeric[country.id],
        "chain": [region.id for region in fallback_chain(country)],
        "languages": spoken,
        "adapters": len(served),
        "wanted": most_wanted(spoken, {tag for facts in measured for tag in facts.languages}),
    }


def _country_page(row: Json, cards: Cards) -> Json:
    wanted = row["wanted"]
    text = (
        f"No measured adapter that serves {row['name']} names {wanted['name']}, which about "
        f"{wanted['speakers']:,} people speak there."
        if wanted
        else f"Every language of {row['name']} is named by a measured adapter; a better one is welcome."
    )
    adapters = sorted(
        cards.shown.get(row["id"], ()),
        # Those of the country first; what may not be taken last.
        key=lambda shown: (
            shown["status"] != "active",
            shown["family"],
            shown["region"] != row["id"],
            shown["slug"],
        ),
    )
    return {
        "id": row["id"],
        "adapters": adapters,
        "wanted": {"text": text, "command": CONTRIBUTE},
    }


def _overview(source: CardSource, cards: Cards, layers: Iterable[Json]) -> Json:
    families = sorted({facts.family for facts in cards.facts.values()})
    return {
        "version": __version__,
        "built": source.record.date,
        "hub": source.hub_name,
        "index": vars(source.record),
        "families": [{"id": family, "name": get_family(family).title} for family in families],
        "policies": [str(policy) for policy in POLICIES],
        "regions": group_rows(),
        "suites": _suites(cards.facts.values(), layers),
        "layers": layers,
    }


def _suites(facts: Iterable[CardFacts], layers: Iterable[Json]) -> list[Json]:
    """The suites, by family, the one of most countries first."""
    shown = {
        (layer["family"], row["suite"], country)
        for layer in layers
        for country, row in layer["countries"].items()
    }
    counts = Counter((family, suite) for family, suite, _ in shown)
    named: dict[tuple[str, str], str] = {}
    for each in facts:
        if each.suite:
            # Cards may call the tasks of one suite differently.
            key = (each.family, each.suite.id)
            named[key] = min(named.get(key, each.suite.name), each.suite.name)
    found = [
        {"id": suite, "name": name, "family": family, "countries": counts[family, suite]}
        for (family, suite), name in named.items()
    ]
    return sorted(found, key=lambda row: (row["family"], -row["countries"], row["id"]))


def _write_columns(folder: Path, rows: list[Json]) -> int:
    """The table of adapters by column, in parts; returns how many."""
    starts = range(0, len(rows), ROWS_IN_A_PART)
    for number, start in enumerate(starts):
        part = rows[start : start + ROWS_IN_A_PART]
        write_data(
            folder,
            f"adapters/table-{number}",
            {name: [row[name] for row in part] for name in part[0]},
        )
    return len(starts)


def _gains(layers: Iterable[Json]) -> Iterator[Json]:
    for layer in layers:
        for country, row in layer["countries"].items():
            yield {"family": layer["family"], "policy": layer["policy"], "country": country, **row}


def _alphas(alphas: Json) -> Iterator[Json]:
    for country, values in alphas["countries"].items():
        yield {"country": country, **dict(zip(map(str, alphas["years"]), values, strict=True))}
