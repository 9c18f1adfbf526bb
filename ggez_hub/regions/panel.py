"""alpha of a region over the years, beside the same for a fixed panel of its countries.

The mean over whatever countries have a value moves when a country enters or leaves, although no
country changed: Brunei's first value, in 1984, moves Southeast Asia from .282 to .338. The fixed
panel is the countries that have a value in every year of the span.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
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
    median, population_weighted   over `members`
    """

    year: int
    alpha: float | None
    panel: float | None
    members: tuple[str, ...]
    entered: tuple[str, ...] = ()
    left: tuple[str, ...] = ()
    continuing: float | None = None
    median: float | None = None
    population_weighted: float | None = None

    @property
    def is_break(self) -> bool:
        """Whether the members differ from those of the year before."""
        return bool(self.entered or self.left)


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
            "members": self.members,
            "partial": self.partial,
            "missing": self.missing,
            "years": [asdict(year) for year in self.years],
        }


def panel(
    region: Region | str,
    first: int | None = None,
    last: int | None = None,
    series: str = INTERPERSONAL,
    release: str | None = None,
) -> Panel:
    """The region from `first` to `last`, by default all years of the release.

    No other group stands in where the region has no value. Raises UnknownRegion, and UsageProblem
    for a release, series or span that is not there, or a region without a value in all of it.
    """
    if isinstance(region, str):
        region = find_region(region)
    table = load_series(series, release)
    years = _span(table, first, last)
    known = [table.values_in(year, region.members) for year in years]
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
    for before, year, values, row in zip([None, *known], years, known, rows, strict=False):
        others = Averages.of(values) if values else None
        entered = tuple(c for c in values if before is not None and c not in before)
        left = tuple(c for c in before or () if c not in values)
        found.append(
            PanelYear(
                year,
                _mean(values, values) if row is None else row / 100.0,
                _mean(values, fixed),
                tuple(values),
                entered,
                left,
                _mean(values, [c for c in values if c in (before or ())])
                if entered or left
                else None,
                others.median if others else None,
                others.population_weighted if others else None,
            )
        )
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


def _mean(values: Mapping[str, float], countries: Iterable[str]) -> float | None:
    chosen = [values[country] for country in countries]
    return statistics.fmean(chosen) / 100.0 if chosen else None
