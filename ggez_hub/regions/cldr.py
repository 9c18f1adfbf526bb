"""What CLDR's supplemental data says of territories: codes, containment, languages.

The file is `supplementalData.xml` as the `language_data` package ships it. One pass of expat over
its 400 kB takes about eight milliseconds, so the result lives in memory only: a cache on disk
would save less than it could go stale. Expat resolves no external entity unless told to, and it
is not told to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal, cast
from xml.parsers import expat

Status = Literal["official", "de_facto_official", "official_regional", ""]


@dataclass(frozen=True, slots=True)
class Population:
    """One language of a territory: its BCP 47 tag, the share of the people, its status."""

    tag: str
    percent: float
    status: Status


@dataclass(frozen=True, slots=True)
class Supplement:
    """The supplemental data, by lower-case ISO 3166-1 alpha-2 code or three-digit M49 code.

    `contained` has the countries of each M49 group, at any depth; `populations` is in persons.
    """

    alpha3: Mapping[str, str]
    contained: Mapping[str, tuple[str, ...]]
    populations: Mapping[str, int]
    languages: Mapping[str, tuple[Population, ...]]


class _Reader:
    """Collects the elements that are wanted while expat walks the file."""

    def __init__(self) -> None:
        self.codes: dict[str, dict[str, str]] = {}
        self.children: dict[str, list[str]] = {}
        self.populations: dict[str, int] = {}
        self.languages: dict[str, list[Population]] = {}
        self.territory = ""

    def start(self, element: str, attributes: dict[str, str]) -> None:
        if element == "territoryCodes":
            self.codes[attributes["type"]] = attributes
        elif element == "group" and "status" not in attributes:
            # Rows with a status are deprecated codes or a second way to cut the same parent.
            group = self.children.setdefault(attributes["type"], [])
            group.extend(attributes["contains"].split())
        elif element == "territory" and "population" in attributes:
            self.territory = attributes["type"].lower()
            self.populations[self.territory] = int(attributes["population"])
        elif element == "languagePopulation":
            self.languages.setdefault(self.territory, []).append(
                Population(
                    tag=attributes["type"].replace("_", "-"),
                    percent=float(attributes["populationPercent"]),
                    status=cast("Status", attributes.get("officialStatus", "")),
                )
            )

    def leaves(self, group: str) -> set[str]:
        found: set[str] = set()
        for child in self.children[group]:
            found |= self.leaves(child) if child in self.children else {child}
        return found


def _path() -> Path:
    from language_data.util import data_filename

    return Path(data_filename("supplementalData.xml"))


@cache
def supplement() -> Supplement:
    """The supplemental data, read once in a process."""
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartElementHandler = reader.start
    parser.Parse(_path().read_bytes(), True)
    # A country is a territory in the world with an M49 number. That leaves out codes that ISO only
    # reserves (Ascension, Ceuta, Sark) and keeps Kosovo, which has a number for private use.
    alpha3 = {
        code.lower(): reader.codes[code]["alpha3"]
        for code in sorted(reader.leaves("001"))
        if "numeric" in reader.codes.get(code, {})
    }
    # CLDR's letter codes (QO, the outlying islands of Oceania) are looked through, not groups here.
    leaves = {group: reader.leaves(group) for group in sorted(reader.children) if group.isdigit()}
    contained = {
        group: tuple(code for code in alpha3 if code.upper() in found)
        for group, found in leaves.items()
    }
    languages = {code: tuple(spoken) for code, spoken in reader.languages.items()}
    return Supplement(alpha3, contained, reader.populations, languages)


NATIONWIDE = ("official", "de_facto_official")


def official_countries(language: str) -> tuple[str, ...]:
    """The countries where a language subtag is official, those with most speakers first.

    Where it is official in no whole country, those where it is official in a part.
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
