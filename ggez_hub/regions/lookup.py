"""From what a person writes to a region, and how it is spelled out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache

from ggez_hub.errors import UsageProblem
from ggez_hub.regions.catalogue import Region, catalogue, groups
from ggez_hub.regions.cldr import official_countries
from ggez_hub.regions.names import (
    code_of_name,
    current_language,
    language_name,
    names_starting_like,
)

# How many ids, and how many countries of a language, are offered.
NEAR, SHOWN = 5, 3


class UnknownRegion(UsageProblem):
    """There is no such region; `near` has ids that are close, the closest first."""

    def __init__(self, asked: str, near: tuple[str, ...] = ()) -> None:
        meant = ", ".join(f"{key} ({catalogue()[key].name})" for key in near)
        super().__init__(
            f"there is no region {asked!r}",
            (f"Did you mean {meant}? " if meant else "")
            + "A region is an ISO 3166-1 code (th), a name (Thailand) or a group (southeast-asia): "
            "see `ggez-hub regions`.",
        )
        self.asked = asked
        self.near = near


@cache
def _shorthands() -> dict[str, Region]:
    """Regions by what else is short and exact: aliases, alpha-3 codes, bare M49 codes."""
    table: dict[str, Region] = {}
    for region in catalogue().values():
        exact = (*region.aliases, (region.alpha3 or "").lower(), region.m49 or "")
        table.update({key: region for key in exact if key})
    return table


def _letters(text: str) -> str:
    """`Europe & Central Asia`, `south_east asia`: what an id and a loose spelling share."""
    return "".join(word for word in re.findall(r"[a-z0-9]+", text.lower()) if word != "and")


@cache
def _groups_by_letters() -> dict[str, Region]:
    return {_letters(region.id): region for region in groups()}


def _by_code(code: str) -> Region | None:
    """The region of an ISO 3166-1 or M49 code in CLDR's spelling."""
    return _shorthands().get(code) if code.isdigit() else catalogue().get(code.lower())


def find_region(asked: str) -> Region:
    """The region that `asked` names.

    An id, an alias (`sea`), an ISO 3166-1 alpha-3 or M49 code, or a name in any language of CLDR
    ("Thailand", "ไทย"), tried in that order. Raises UnknownRegion.
    """
    region = known_region(asked)
    if region is None:
        raise UnknownRegion(asked, near_ids(asked.strip()))
    return region


def known_region(asked: str) -> Region | None:
    """The region that `asked` names as `find_region` takes it, or None, at once."""
    text = asked.strip()
    key = text.lower()
    for table, spelling in (
        (catalogue(), key),
        (_shorthands(), key),
        (_groups_by_letters(), _letters(text)),
    ):
        if spelling in table:
            return table[spelling]
    code = code_of_name(text)
    return _by_code(code) if code is not None else None


def near_ids(asked: str) -> tuple[str, ...]:
    """Ids of regions whose id, name in any language, or official language is close to `asked`."""
    key = asked.lower()
    if official := official_countries(current_language(key)):
        return official[:NEAR]
    near: list[str] = []
    spellings = {region.id: region.id for region in catalogue().values()}
    spellings |= {region.name.lower(): region.id for region in catalogue().values()}
    spellings |= {alias: region.id for alias, region in _shorthands().items()}
    for name in get_close_matches(key, {*spellings, *names_starting_like(key)}, n=2 * NEAR):
        region = catalogue().get(spellings.get(name, "")) or _by_code(code_of_name(name) or "")
        if region is not None:
            near.append(region.id)
    return tuple(dict.fromkeys(near))[:NEAR]


@dataclass(frozen=True, slots=True)
class LanguageReading:
    """A region's code as a BCP 47 language; `official_in` are countries, most speakers first."""

    code: str
    language: str
    official_in: tuple[str, ...]


def language_reading(region: Region, asked: str | None = None) -> LanguageReading | None:
    """The language that the code of `region` also is, or None.

    `asked` is what the user wrote, where that is another code: `uk` finds the United Kingdom, and
    is Ukrainian. Computed from CLDR's languages and their official status.
    """
    if not region.is_country:
        return None
    for code in ((asked or region.id).strip().lower(), region.id):
        if (language := language_name(code)) is not None:
            return LanguageReading(code, language, official_countries(current_language(code)))
    return None


def spelled_out(region: Region, asked: str | None = None) -> str:
    """One line with the region's name, and the language that its code must not be taken for."""
    line = f"{region.id} is {region.name}"
    reading = language_reading(region, asked)
    if reading is None:
        return line
    language = f"the language {reading.code} is {reading.language}"
    if region.id in reading.official_in:
        return f"{line} ({language}, official there)"
    others = [f"{key} ({catalogue()[key].name})" for key in reading.official_in[:SHOWN]]
    return f"{line}, a region; {language}, official in {', '.join(others) or 'no country'}"
