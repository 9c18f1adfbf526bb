"""alpha, the globalisation factor of a region, and other averages of the KOF Globalisation Index.

alpha = mean over the members of the region / 100, unweighted (arXiv 2604.11490, on the
globalisation factor). It is a policy weight and not a fact about a culture, so it travels with what
it rests on, and a user may set another.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from ggez_hub.errors import UsageProblem
from ggez_hub.regions.catalogue import Region
from ggez_hub.regions.cldr import supplement
from ggez_hub.regions.fallback import fallback_chain
from ggez_hub.regions.kof import INTERPERSONAL, load_series
from ggez_hub.regions.lookup import find_region


@dataclass(frozen=True, slots=True)
class Alpha:
    """A globalisation factor and what it rests on.

    value       from 0 (only the region counts) to 1 (only the world counts)
    region      id of the region it was asked for
    year, series, release   where in KOF's data it comes from; None for a user's own value
    members     the countries in the mean; empty where KOF's own aggregate row is the value
    missing     members of the region, or of the fallback, without a value in that year
    fallback    id of the enclosing group whose alpha this is, where the region has no value
    provenance  `kof`: computed from a release; `user`: set by hand
    """

    value: float
    region: str
    year: int | None = None
    series: str | None = None
    release: str | None = None
    members: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    fallback: str | None = None
    provenance: Literal["kof", "user"] = "kof"

    @classmethod
    def from_user(cls, value: float, region: Region | str) -> Self:
        """The factor that a user chose for a region. Raises UsageProblem outside 0 to 1."""
        if not (math.isfinite(value) and 0.0 <= value <= 1.0):
            raise UsageProblem(f"alpha is {value:g}; it has to be between 0 and 1")
        region_id = (find_region(region) if isinstance(region, str) else region).id
        return cls(value=value, region=region_id, provenance="user")

    def as_dict(self) -> dict[str, Any]:
        """The JSON that `ggez-hub alpha --json` prints."""
        return {
            "region": self.region,
            "alpha": self.value,
            "year": self.year,
            "series": self.series,
            "release": self.release,
            "members": list(self.members),
            "missing": list(self.missing),
            "fallback": self.fallback,
        }


def alpha(
    region: Region | str,
    year: int | None = None,
    series: str = INTERPERSONAL,
    release: str | None = None,
) -> Alpha:
    """The globalisation factor of `region`, from 0 to 1, at full precision.

    The mean over the members that have a value in `year` (the release's latest by default), or
    KOF's aggregate row for the World Bank regions and the world. A region without any value takes
    the alpha of the nearest group around it, named in `fallback`: `southeast-asia` for its
    countries, the UN M49 groups otherwise. The release is the shipped one unless named.

    Raises UnknownRegion, and UsageProblem for a release, series or year that is not there.
    """
    if isinstance(region, str):
        region = find_region(region)
    table = load_series(series, release)
    if year is None:
        year = table.last_year
    if not table.first_year <= year <= table.last_year:
        raise UsageProblem(
            f"{series} of release {table.release} has no year {year}",
            f"Its years are {table.first_year} to {table.last_year}.",
        )
    for candidate in fallback_chain(region, wide=True):
        values = {} if candidate.aggregate else table.values_in(year, candidate.members)
        if candidate.aggregate:
            value = table.value(candidate.aggregate, year)
        else:
            value = statistics.fmean(values.values()) if values else None
        if value is not None:
            return Alpha(
                value=value / 100.0,
                region=region.id,
                year=year,
                series=table.name,
                release=table.release,
                members=tuple(values),
                missing=tuple(c for c in candidate.members if values and c not in values),
                fallback=None if candidate is region else candidate.id,
            )
    raise UsageProblem(
        f"{series} of release {table.release} has no value for {region.id} in {year}"
    )


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
    values = table.values_in(factor.year, members)
    return Averages.of(values) if values else None


def population_source() -> str:
    """Where the populations come from, with the version that is installed."""
    from importlib.metadata import version

    return (
        f"territoryInfo of CLDR's supplementalData.xml in language_data {version('language_data')}"
    )
