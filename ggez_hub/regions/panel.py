"""alpha of a region over the years, beside the same for a fixed panel of its countries.

The mean over whatever countries have a value moves when a country enters or leaves, although no
country changed: Brunei's first value, in 1984, moves Southeast Asia from .282 to .338. The fixed
panel is the countries that have a value in every year of the span.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from ggez_hub.errors import UsageProblem
from ggez_hub.regions.catalogue import Region
from ggez_hub.regions.fallback import fallback_chain
from ggez_hub.regions.globalisation import Averages
from ggez_hub.regions.kof import INTERPERSONAL, Series, load_series
from ggez_hub.regions.lookup import find_region


@dataclass(frozen=True, slots=True)
class PanelYear:
    """One year. Values are divided by 100, and None where there is nothing to average.

    alpha        over every member with a value, or KOF's aggregate row for the region
    panel        over the fixed panel
    members      the members with a value
    entered, left   the members with a value this year and not the year before, and the reverse
    continuing   over the members with a value in both years; None unless one entered or left
    averages     the median and the population-weighted mean over `members`
    """

    year: int
    alpha: float | None
    panel: float | None
    members: tuple[str, ...]
    entered: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    continuing: float | None = None
    averages: Averages | None = None

    @property
    def median(self) -> float | None:
        """The median over `members`."""
        return None if self.averages is None else self.averages.median

    @property
    def population_weighted(self) -> float | None:
        """The population-weighted mean over `members`."""
        return None if self.averages is None else self.averages.population_weighted

    @property
    def is_break(self) -> bool:
        """Whether the members differ from those of the year before."""
        return bool(self.entered or self.left)

    def as_dict(self) -> dict[str, Any]:
        """The year as `ggez-hub alpha --years --json` prints it."""
        return {
            "year": self.year,
            "alpha": self.alpha,
            "panel": self.panel,
            "members": list(self.members),
            "entered": list(self.entered),
            "left": list(self.left),
            "continuing": self.continuing,
            "median": self.median,
            "population_weighted": self.population_weighted,
        }


@dataclass(frozen=True, slots=True)
class Panel:
    """A region over a span of years.

    members  the fixed panel: members with a value in every year of the span
    partial  members with a value in some years only
    missing  members without any
    All three are empty where the countries behind KOF's aggregate row are unknown.
    """

    region: str
    series: str
    release: str
    members: tuple[str, ...]
    partial: tuple[str, ...]
    missing: tuple[str, ...]
    years: tuple[PanelYear, ...]

    @property
    def breaks(self) -> tuple[tuple[PanelYear, PanelYear], ...]:
        """The years in which a member entered or left, each after the year before it."""
        return tuple((a, b) for a, b in pairwise(self.years) if b.is_break)

    def as_dict(self) -> dict[str, Any]:
        """The panel as `ggez-hub alpha --years --json` prints it."""
        return {
            "first_year": self.years[0].year,
            "last_year": self.years[-1].year,
            "members": list(self.members),
            "partial": list(self.partial),
            "missing": list(self.missing),
            "years": [year.as_dict() for year in self.years],
        }


def panel(
    region: Region | str,
    first: int | None = None,
    last: int | None = None,
    series: str = INTERPERSONAL,
    release: str | None = None,
) -> Panel:
    """The region from `first` to `last`, by default all years of the release.

    No other group stands in where the region has no value.

    Raises:
        UnknownRegion: there is no such region.
        UsageProblem: the release, series or a year is not there, the span ends before it begins,
            or the region has no value in any of the years.
    """
    if isinstance(region, str):
        region = find_region(region)
    table = load_series(series, release)
    years = _span(table, first, last)
    known = [_known(region, table, year) for year in years]
    rows = [None if region.aggregate is None else table.value(region.aggregate, y) for y in years]
    ever = {country for values in known for country in values}
    if not ever and all(row is None for row in rows):
        around = fallback_chain(region, wide=True)[1:2]
        raise UsageProblem(
            f"{table.name} of release {table.release} has no value for {region.id} from "
            f"{years[0]} to {years[-1]}",
            f"The group around it: `ggez-hub alpha {around[0].id} --years ...`" if around else "",
        )
    fixed = tuple(c for c in region.members if all(c in values for values in known))
    found: list[PanelYear] = []
    before: Mapping[str, float] | None = None
    for year, values, row in zip(years, known, rows, strict=True):
        entered = () if before is None else tuple(c for c in values if c not in before)
        left = () if before is None else tuple(c for c in before if c not in values)
        both = [c for c in values if before is not None and c in before]
        found.append(
            PanelYear(
                year,
                _mean(values, values) if row is None else row / 100.0,
                _mean(values, fixed),
                tuple(values),
                entered,
                left,
                _mean(values, both) if entered or left else None,
                Averages.of(values) if values else None,
            )
        )
        before = values
    return Panel(
        region.id,
        table.name,
        table.release,
        fixed,
        tuple(c for c in region.members if c in ever and c not in fixed),
        tuple(c for c in region.members if c not in ever) if ever else (),
        tuple(found),
    )


def _span(table: Series, first: int | None, last: int | None) -> range:
    first = table.first_year if first is None else first
    last = table.last_year if last is None else last
    if first > last:
        raise UsageProblem(f"the years {first} to {last} end before they begin")
    if first < table.first_year or last > table.last_year:
        raise UsageProblem(
            f"{table.name} of release {table.release} does not have all years from {first} to {last}",
            f"Its years are {table.first_year} to {table.last_year}.",
        )
    return range(first, last + 1)


def _known(region: Region, table: Series, year: int) -> dict[str, float]:
    return {c: v for c in region.members if (v := table.value(c, year)) is not None}


def _mean(values: Mapping[str, float], countries: Collection[str]) -> float | None:
    chosen = [values[country] for country in countries]
    return math.fsum(chosen) / len(chosen) / 100.0 if chosen else None
