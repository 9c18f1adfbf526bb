"""The regions: every ISO 3166-1 country, the UN M49 groups, and the groups of the paper."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, NamedTuple

from ggez_hub.regions.cldr import supplement
from ggez_hub.regions.names import territory_name

WORLD = "world"
SOUTHEAST_ASIA = "southeast-asia"
M49_PREFIX = "m49-"


@dataclass(frozen=True, slots=True)
class Region:
    """A country or a group of countries.

    id         lower-case ISO 3166-1 alpha-2 code of a country, or the slug of a group
    members    the countries, as lower-case alpha-2 codes; of a country, itself. Empty for the World
               Bank regions: which countries are in KOF's aggregate is unknown
    alpha3     ISO 3166-1 alpha-3 code of a country
    m49        UN M49 code of a group that has one
    aggregate  code of KOF's own row for the group, where its alpha is that row
    label      English name of a group that CLDR does not name
    aliases    other ids of the same region
    """

    id: str
    kind: Literal["country", "group"]
    members: tuple[str, ...]
    alpha3: str | None = None
    m49: str | None = None
    aggregate: str | None = None
    label: str | None = None
    aliases: tuple[str, ...] = ()

    @property
    def is_country(self) -> bool:
        return self.kind == "country"

    @property
    def name(self) -> str:
        return self.name_in("en") or self.id

    def name_in(self, language: str) -> str | None:
        """The name in `language` (a BCP 47 tag), or None where CLDR has none."""
        if self.label is not None:
            return self.label if language == "en" else None
        return territory_name(self.m49 or self.id.upper(), language)


class WorldBankRegion(NamedTuple):
    """A World Bank region of the paper's appendix: the code of KOF's row, and its name there."""

    aggregate: str
    label: str


WORLD_BANK = {
    "east-asia-pacific": WorldBankRegion("EAS", "East Asia and Pacific"),
    "europe-central-asia": WorldBankRegion("ECS", "Europe and Central Asia"),
    "latin-america-caribbean": WorldBankRegion("LCN", "Latin America and Caribbean"),
    "middle-east-north-africa": WorldBankRegion("MEA", "Middle East and North Africa"),
    "north-america": WorldBankRegion("NAC", "North America"),
    "south-asia": WorldBankRegion("SAS", "South Asia"),
    "sub-saharan-africa": WorldBankRegion("SSF", "Sub-Saharan Africa"),
}


@cache
def catalogue() -> Mapping[str, Region]:
    """Every region by its id: the paper's groups, the M49 groups, the countries."""
    cldr = supplement()
    regions = [
        # The paper's eleven countries are M49's South-Eastern Asia, and KOF's world is the
        # unweighted mean over all countries.
        Region(
            SOUTHEAST_ASIA,
            "group",
            cldr.contained["035"],
            m49="035",
            aliases=("sea", f"{M49_PREFIX}035"),
        ),
        *(
            Region(slug, "group", (), aggregate=row.aggregate, label=row.label)
            for slug, row in WORLD_BANK.items()
        ),
        Region(
            WORLD,
            "group",
            cldr.contained["001"],
            m49="001",
            aggregate="WLD",
            label="World",
            aliases=(f"{M49_PREFIX}001",),
        ),
    ]
    named = {region.m49 for region in regions}
    regions += [
        Region(f"{M49_PREFIX}{code}", "group", members, m49=code)
        for code, members in cldr.contained.items()
        if code not in named
    ]
    regions += [
        Region(code, "country", (code,), alpha3=alpha3) for code, alpha3 in cldr.alpha3.items()
    ]
    return {region.id: region for region in regions}


def groups() -> tuple[Region, ...]:
    """The groups: the paper's first, then those of UN M49 by code."""
    return tuple(region for region in catalogue().values() if not region.is_country)
