"""Where languages are official, as CLDR has it (territoryInfo)."""

from __future__ import annotations

from ggez_hub.regions.cldr import supplement

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
