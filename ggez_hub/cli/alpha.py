"""A region's alpha over the years, for people: the table, and what entered and left."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ggez_hub.cli.output import Output

if TYPE_CHECKING:
    from ggez_hub.regions.panel import Panel, PanelYear


def print_series(panel: Panel, out: Output) -> None:
    """Print one row for each year, then each change of members with what it does to alpha."""
    out.table(
        ("year", "countries", "alpha", "fixed panel", "median", "by population", "entered", "left"),
        [_row(year) for year in panel.years],
        title=f"{panel.series} of KOF release {panel.release}, divided by 100",
    )
    if not (panel.members or panel.partial):
        out.line("Which countries are behind KOF's row is unknown: there is no fixed panel.")
        return
    first, last = panel.years[0].year, panel.years[-1].year
    members = " ".join(panel.members) or "empty"
    out.line(f"Fixed panel, a value in every year from {first} to {last}: {members}")
    for title, countries in (
        ("In some years only", panel.partial),
        ("Without a value", panel.missing),
    ):
        if countries:
            out.line(f"{title}: {' '.join(countries)}")
    for before, year in panel.breaks:
        out.line(_break(before, year))
    if len(panel.members) + len(panel.partial) > 1:
        out.line("By population: one recent figure for each country weighs every year.")


def _row(year: PanelYear) -> tuple[str, ...]:
    return (
        str(year.year),
        str(len(year.members)) if year.members else "unknown" if year.alpha is not None else "0",
        _shown(year.alpha),
        _shown(year.panel),
        _shown(year.median),
        _shown(year.population_weighted),
        " ".join(f"+{country}" for country in year.entered),
        " ".join(f"-{country}" for country in year.left),
    )


def _break(before: PanelYear, year: PanelYear) -> str:
    changes = [f"{' '.join(year.entered)} entered"] if year.entered else []
    changes += [f"{' '.join(year.left)} left"] if year.left else []
    moved = f"alpha {_shown(before.alpha)} -> {_shown(year.alpha)}"
    line = f"{year.year}: {', '.join(changes)}: {moved}"
    if year.continuing is None:
        return line
    return f"{line}; the mean of the countries in both years is {_shown(year.continuing)}"


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
