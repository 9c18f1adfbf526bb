"""Other averages of the index over a region's countries: the median, and weighted by people.

The mean, which alpha is, counts Brunei as much as Indonesia. Populations are CLDR's: one recent
figure for each country, which here weighs every year alike.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from ggez_hub.regions.cldr import supplement
from ggez_hub.regions.globalisation import Alpha
from ggez_hub.regions.kof import load_series
from ggez_hub.regions.lookup import find_region


@dataclass(frozen=True, slots=True)
class Averages:
    """The median and the population-weighted mean of some countries' values, divided by 100.

    members              the countries, all with a value
    population_weighted  None where CLDR has no population for one of them
    """

    members: tuple[str, ...]
    median: float
    population_weighted: float | None

    @classmethod
    def of(cls, values: Mapping[str, float]) -> Averages:
        """From the index, 0-100, by country; at least one."""
        people = supplement().populations
        weighted = None
        if all(people.get(country) for country in values):
            total = math.fsum(people[country] for country in values)
            parts = (value * people[country] for country, value in values.items())
            weighted = math.fsum(parts) / total / 100.0
        return cls(tuple(values), statistics.median(values.values()) / 100.0, weighted)


def averages(factor: Alpha) -> Averages | None:
    """The other averages of the countries behind an alpha, in its year, series and release.

    Of a fallback they are the fallback's. None for a user's own value, and where the countries
    behind KOF's aggregate row are unknown.
    """
    if factor.series is None or factor.year is None:
        return None
    table = load_series(factor.series, factor.release)
    members = find_region(factor.fallback or factor.region).members
    values = {c: v for c in members if (v := table.value(c, factor.year)) is not None}
    return Averages.of(values) if values else None


def population_source() -> str:
    """Where the populations come from, with the version that is installed."""
    from importlib.metadata import version

    return (
        f"territoryInfo of CLDR's supplementalData.xml in language_data {version('language_data')}"
    )
