"""The languages of a region, as CLDR counts them."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from ggez_hub.regions.catalogue import Region
from ggez_hub.regions.cldr import NATIONWIDE, Population, supplement
from ggez_hub.regions.lookup import find_region
from ggez_hub.regions.names import language_name, registered_name


@dataclass(frozen=True, slots=True)
class SpokenLanguage:
    """A language of a region.

    tag                   BCP 47, never a region code
    percent               share of the region's people who use it, 0-100, first or second language:
                          the shares of a region need not add up to 100
    official_in           the members in which it is official, by law or in fact
    regional_in           the members in which it is official in a part of the country only
    """

    tag: str
    percent: float
    official_in: tuple[str, ...]
    regional_in: tuple[str, ...]

    @property
    def name(self) -> str:
        """The English name: CLDR's, else that of the IANA registry."""
        return language_name(self.tag) or registered_name(self.tag)


def languages(region: Region | str) -> tuple[SpokenLanguage, ...]:
    """The languages of `region`: official ones first, then by their share of its people.

    The share in a group is weighted by the populations of its members. A group whose members are
    unknown has no languages here. Raises UnknownRegion. Source: CLDR, territoryInfo.
    """
    if isinstance(region, str):
        region = find_region(region)
    cldr = supplement()
    people = sum(cldr.populations.get(member, 0) for member in region.members)
    found: defaultdict[str, dict[str, Population]] = defaultdict(dict)
    for member in region.members:
        for row in cldr.languages.get(member, ()):
            found[row.tag][member] = row
    spoken = [
        SpokenLanguage(
            tag=tag,
            percent=sum(row.percent * cldr.populations[at] for at, row in rows.items()) / people,
            official_in=tuple(at for at, row in rows.items() if row.status in NATIONWIDE),
            regional_in=tuple(at for at, row in rows.items() if row.status == "official_regional"),
        )
        for tag, rows in found.items()
    ]
    return tuple(sorted(spoken, key=lambda it: (not it.official_in, -it.percent, it.tag)))
