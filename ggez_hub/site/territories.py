"""Countries and groups: names, alpha by year, and the people who speak each language."""

from __future__ import annotations

from collections.abc import Collection
from functools import cache

from ggez_hub.errors import UsageProblem
from ggez_hub.regions import Region, alpha, fallback_chain, groups, languages
from ggez_hub.regions.catalogue import catalogue
from ggez_hub.regions.cldr import supplement
from ggez_hub.regions.kof import load_series
from ggez_hub.site.measured_card import Json

# Of a country at most so many, and those that few people speak only where they are official.
MOST_LANGUAGES, LEAST_PERCENT = 8, 1.0
# What every base is made for; the global side of parity asks in it.
OF_BASES = "en"


def countries() -> tuple[Region, ...]:
    """Every country of the catalogue."""
    return tuple(region for region in catalogue().values() if region.is_country)


@cache
def serving(region: str) -> tuple[str, ...]:
    """The countries for which resolution looks at adapters of a region."""
    found = (country for country in catalogue()[region].members if country in catalogue())
    return tuple(c for c in found if region in {link.id for link in fallback_chain(c)})


def speakers(country: Region) -> list[Json]:
    """The languages of a country, those with most speakers first; CLDR's figures."""
    people = supplement().populations.get(country.id, 0)
    found: list[Json] = [
        {"id": spoken.tag, "name": spoken.name, "speakers": round(people * spoken.percent / 100)}
        for spoken in languages(country)
        if spoken.official_in or spoken.percent >= LEAST_PERCENT
    ]
    return sorted(found, key=lambda row: (-row["speakers"], row["id"]))[:MOST_LANGUAGES]


def most_wanted(spoken: list[Json], served: Collection[str]) -> Json | None:
    """The most spoken of these languages, beside English, that is not among `served` (BCP 47)."""
    subtags = {OF_BASES, *(tag.partition("-")[0] for tag in served)}
    for row in spoken:
        if row["id"].partition("-")[0] not in subtags and row["speakers"]:
            return {"language": row["id"], "name": row["name"], "speakers": row["speakers"]}
    return None


def region_figures(region: Region) -> Json:
    """Name and alpha of a region; `alpha_from` is the group whose alpha stands in for its own."""
    try:
        factor = alpha(region)
    except UsageProblem:
        return {"id": region.id, "name": region.name, "alpha": None, "alpha_from": None}
    return {
        "id": region.id,
        "name": region.name,
        "alpha": factor.value,
        "alpha_from": factor.fallback,
    }


def group_rows() -> list[Json]:
    """The groups with their members."""
    return [{**region_figures(group), "members": list(group.members)} for group in groups()]


def alpha_table() -> Json:
    """alpha of every country by year, from 0 to 1, null where KOF has no value."""
    series = load_series()
    years = range(series.first_year, series.last_year + 1)
    values = {c.id: [series.value(c.id, year) for year in years] for c in countries()}
    return {
        "years": list(years),
        "countries": {
            country: [None if value is None else round(value / 100, 6) for value in row]
            for country, row in values.items()
            if any(value is not None for value in row)
        },
        "series": series.name,
        "release": series.release,
    }
