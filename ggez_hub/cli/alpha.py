"""`alpha`, `grp` and `kof`: how a region weighs against the world."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, POINTS, SHARE, YEARS, region_argument
from ggez_hub.parity import grp
from ggez_hub.regions import Alpha, Region, alpha, find_region, spelled_out
from ggez_hub.regions.globalisation import averages, population_source
from ggez_hub.regions.kof import load_series, releases
from ggez_hub.regions.kof_import import import_release
from ggez_hub.regions.panel import Panel, PanelYear, panel

# The one value of alpha that the paper prints differently.
PAPERS_ALPHA = ("southeast-asia", "KOFIpGIdf", "2025", 2023)


@click.command("alpha")
@region_argument
@click.option("--year", type=int, help="Default: the latest year of the release.")
@click.option(
    "--years",
    type=YEARS,
    metavar="FIRST-LAST",
    help="Each of these years, beside a fixed panel of countries; alpha is that of the last.",
)
@click.option("--series", default="KOFIpGIdf", show_default=True, help="A series of the KOF index.")
@click.option("--release", help="Default: the release that ggez-hub ships; see `kof`.")
@output_options
def alpha_command(
    region: str | None,
    year: int | None,
    years: tuple[int, int] | None,
    series: str,
    release: str | None,
    out: Output,
) -> None:
    """Print the globalisation factor of a region, from the KOF index.

    alpha is the mean of the index over the region's countries, divided by 100. It is a policy
    weight, not a fact about a culture. The median and the population-weighted mean are printed,
    too.

    With --years each year has the mean over the countries with a value in it, and the mean over the
    fixed panel: the countries with a value in every year shown.
    """
    if year is not None and years is not None:
        raise click.UsageError("Give one of --year and --years.")
    if region is None:
        raise click.UsageError("Name a region: ggez-hub alpha th")
    found = find_region(region)
    shown = None if years is None else panel(found, *years, series, release)
    factor = alpha(found, year if years is None else years[1], series, release)
    others = averages(factor)
    out.document(
        {
            **factor.as_dict(),
            "median": others and others.median,
            "population_weighted": others and others.population_weighted,
            "population_source": population_source(),
            "panel": shown and shown.as_dict(),
        }
    )
    out.line(spelled_out(found, region))
    print_alpha(found, factor, out)
    if others is not None and len(others.members) > 1:
        out.line(f"Median of the {len(others.members)} countries: {others.median:.6f}")
        weighted = "unknown, CLDR has no population for one of them"
        if others.population_weighted is not None:
            weighted = f"{others.population_weighted:.6f} ({population_source()})"
        out.line(f"Weighted by population: {weighted}")
    if shown is not None:
        out.line()
        _print_panel(shown, out)


def print_alpha(region: Region, factor: Alpha, out: Output) -> None:
    """alpha for people: the value, what it is the mean of, and what is missing."""
    source = f"{factor.series} of KOF release {factor.release}, {factor.year}"
    if factor.fallback is not None:
        basis = f"{region.id} has no value, so this is the alpha of {factor.fallback}"
    elif not factor.members:
        basis = f"KOF's own row {region.aggregate}"
    elif region.is_country:
        basis = "its own value"
    else:
        basis = f"the mean of {len(factor.members)} of {len(region.members)} countries"
    out.line(f"alpha {factor.value:.6f}: {basis} ({source})")
    if factor.missing:
        out.line(f"Without a value: {' '.join(factor.missing)}")
    if (region.id, factor.series, factor.release, factor.year) == PAPERS_ALPHA:
        out.line(
            "The paper's 43.40 is the mean of ten: Timor-Leste was lost under KOF's outdated code "
            f"TMP. The mean of eleven is {100 * factor.value:.2f}."
        )


def _print_panel(panel: Panel, out: Output) -> None:
    """One row for each year, then each change of members with its effect on alpha."""
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
        changes = [f"{' '.join(year.entered)} entered"] if year.entered else []
        changes += [f"{' '.join(year.left)} left"] if year.left else []
        line = f"{year.year}: {', '.join(changes)}: alpha {_shown(before.alpha)} -> {_shown(year.alpha)}"
        if year.continuing is not None:
            line += f"; the mean of the countries in both years is {_shown(year.continuing)}"
        out.line(line)
    if len(panel.members) + len(panel.partial) > 1:
        out.line("By population: one recent figure for each country weighs every year.")


def _row(year: PanelYear) -> tuple[str, ...]:
    return (
        str(year.year),
        str(len(year.members)) if year.members else "unknown" if year.alpha is not None else "0",
        *map(_shown, (year.alpha, year.panel, year.median, year.population_weighted)),
        " ".join(f"+{country}" for country in year.entered),
        " ".join(f"-{country}" for country in year.left),
    )


def _shown(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"


@click.command("grp")
@click.option("--global", "q_global", type=POINTS, required=True, help="Mean global score, 0-100.")
@click.option(
    "--regional", "q_regional", type=POINTS, required=True, help="Mean regional score, 0-100."
)
@click.option("--region", help="Take the alpha of this region.")
@click.option("--alpha", "given", type=SHARE, help="Or this alpha, from 0 to 1.")
@output_options
def grp_command(
    q_global: float, q_regional: float, region: str | None, given: float | None, out: Output
) -> None:
    """Compute the Global-Regional Parity of two scores.

    GRP = alpha * global + (1 - alpha) * regional.
    """
    if (region is None) == (given is None):
        raise click.UsageError("Give one of --region and --alpha.")
    weight = given or 0.0
    if region is not None:
        found = find_region(region)
        factor = alpha(found)
        weight = factor.value
        out.line(spelled_out(found, region))
        print_alpha(found, factor, out)
    if 0 < max(q_global, q_regional) <= 1:
        out.note(
            f"note: scores go from 0 to 100, and these are {q_global:g} and {q_regional:g}. If they are "
            f"shares, write --global {100 * q_global:g} --regional {100 * q_regional:g}"
        )
    score = grp(q_global, q_regional, weight)
    out.document({"grp": score, "alpha": weight})
    out.line(f"GRP {score:.2f} = {weight:.4g} * {q_global:g} + {1 - weight:.4g} * {q_regional:g}")


@click.group("kof", cls=Group, invoke_without_command=True)
@output_options
@click.pass_context
def kof_command(context: click.Context, out: Output) -> None:
    """The KOF Globalisation Index: releases on this machine."""
    if context.invoked_subcommand is None:
        _list_releases(out)


@kof_command.command("list")
@output_options
def kof_list_command(out: Output) -> None:
    """The releases on this machine."""
    _list_releases(out)


@kof_command.command("import")
@click.argument("file", type=FILE)
@click.option("--release", help="Its name; default: the year in the file's name.")
@output_options
def kof_import_command(file: Path, release: str | None, out: Output) -> None:
    """Add a release, or another index of the same shape, from a CSV or Excel file.

    The columns are code, country, year and one for each series, with values from 0 to 100.
    """
    added = import_release(file, release)
    out.document({"release": added.name, "folder": str(added.folder), "series": [*added.series]})
    out.line(f"Release {added.name}: {len(added.series)} series in {added.folder}")
    out.line(f"Use it with: ggez-hub alpha REGION --release {added.name}")


def _list_releases(out: Output) -> None:
    document = []
    for release in releases():
        table = load_series(release.series[0], release.name)
        origin = "comes with ggez-hub" if release.shipped else release.folder
        out.line(f"{release.name}  {table.first_year}-{table.last_year}  {origin}")
        out.line(f"  {' '.join(release.series)}")
        document.append(
            {
                "release": release.name,
                "shipped": release.shipped,
                "series": release.series,
                "first_year": table.first_year,
                "last_year": table.last_year,
                "folder": str(release.folder),
            }
        )
    out.document(document)
