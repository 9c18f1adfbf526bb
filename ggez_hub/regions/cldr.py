"""CLDR's supplemental data of territories: codes, containment, languages.

The file is `supplementalData.xml` as the `language_data` package ships it. It is read in about ten
milliseconds, so the result is kept in memory only.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal, TypeAlias, cast
from xml.etree import ElementTree

from language_data.util import data_filename

Status: TypeAlias = Literal["official", "de_facto_official", "official_regional", ""]
NATIONWIDE = ("official", "de_facto_official")


@dataclass(frozen=True, slots=True)
class Population:
    """One language of a territory: its BCP 47 tag, the share of the people, its status."""

    tag: str
    percent: float
    status: Status


@dataclass(frozen=True, slots=True)
class Supplement:
    """The supplemental data, by lower-case ISO 3166-1 alpha-2 code or three-digit M49 code.

    `contained` has the countries of each M49 group, at any depth; `populations` is in persons;
    `numeric` are ISO 3166-1's three digits.
    """

    alpha3: Mapping[str, str]
    numeric: Mapping[str, str]
    contained: Mapping[str, tuple[str, ...]]
    populations: Mapping[str, int]
    languages: Mapping[str, tuple[Population, ...]]


@cache
def supplement() -> Supplement:
    """The supplemental data, read once in a process."""
    # The parser of the standard library reads no external entity.
    root = ElementTree.parse(data_filename("supplementalData.xml")).getroot()  # noqa: S314
    codes = {found.attrib["type"]: found.attrib for found in root.iter("territoryCodes")}
    children: dict[str, list[str]] = {}
    for group in root.iter("group"):
        # Rows with a status are deprecated codes or a second way to cut the same parent.
        if "status" not in group.attrib:
            children.setdefault(group.attrib["type"], []).extend(group.attrib["contains"].split())

    def leaves(group: str) -> set[str]:
        """The territories in a group, at any depth."""
        return {
            leaf
            for child in children[group]
            for leaf in (leaves(child) if child in children else {child})
        }

    # A country is a territory in the world with an M49 number. That leaves out codes that ISO only
    # reserves (Ascension, Ceuta, Sark) and keeps Kosovo, which has a number for private use.
    alpha3 = {
        code.lower(): codes[code]["alpha3"]
        for code in sorted(leaves("001"))
        if "numeric" in codes.get(code, {})
    }
    contained = {}
    # CLDR's letter codes (QO, the outlying islands of Oceania) are not groups here.
    for number in sorted(code for code in children if code.isdigit()):
        found = leaves(number)
        contained[number] = tuple(code for code in alpha3 if code.upper() in found)
    territories = {
        found.attrib["type"].lower(): found
        for found in root.iter("territory")
        if "population" in found.attrib
    }
    return Supplement(
        alpha3,
        {code: codes[code.upper()]["numeric"] for code in alpha3},
        contained,
        {code: int(found.attrib["population"]) for code, found in territories.items()},
        {
            code: tuple(
                Population(
                    tag=spoken.attrib["type"].replace("_", "-"),
                    percent=float(spoken.attrib["populationPercent"]),
                    status=cast("Status", spoken.get("officialStatus", "")),
                )
                for spoken in found.iter("languagePopulation")
            )
            for code, found in territories.items()
        },
    )


def official_countries(language: str) -> tuple[str, ...]:
    """The countries where a language subtag is official, those with most speakers first.

    If it is official nationwide nowhere, those where it is official in a part.
    """
    cldr = supplement()
    speakers: dict[bool, dict[str, float]] = {True: {}, False: {}}
    for country in cldr.alpha3:
        for row in cldr.languages.get(country, ()):
            if row.status and row.tag.partition("-")[0] == language:
                count = row.percent * cldr.populations[country]
                table = speakers[row.status in NATIONWIDE]
                table[country] = max(count, table.get(country, 0.0))
    best = speakers[True] or speakers[False]
    return tuple(sorted(best, key=lambda country: -best[country]))
