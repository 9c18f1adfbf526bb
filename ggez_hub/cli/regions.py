"""`regions`, `alpha`, `kof` and `grp`: what a region is, and how it weighs against the world."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, POINTS, SHARE, YEARS

if TYPE_CHECKING:
    from ggez_hub.regions import Alpha, Region, SpokenLanguage
    from ggez_hub.regions.globalisation import Averages

# Languages below this share of the people are counted, not listed, unless official.
LISTED_PERCENT = 1.0
LISTED_NAMES = 12
# The one value of alpha that the paper prints differently.
PAPERS_ALPHA = ("southeast-asia", "KOFIpGIdf", "2025", 2023)


@click.command("regions")
@click.argument("region", required=False)
@output_options
def regions_command(region: str | None, out: Output) -> None:
    """Regions: members, languages, fallback chain.

    REGION is an ISO 3166-1 code (th), a name ("Thailand", "ไทย") or a group (southeast-asia).
    Without it the groups are listed.
    """
    if region is None:
        _list_groups(out)
    else:
        _show_region(region, out)


@click.command("alpha")
@click.argument("region")
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
    region: str,
    year: int | None,
    years: tuple[int, int] | None,
    series: str,
    release: str | None,
    out: Output,
) -> None:
    """The globalisation factor of a region, from the KOF index.

    alpha is the mean of the index over the region's countries, divided by 100. It is a policy
    weight, not a fact about a culture. Beside it stand the median and the population-weighted mean.

    With --years each year has the mean over the countries with a value in it, and the mean over the
    fixed panel: the countries with a value in every year shown.
    """
    from ggez_hub.cli.alpha import print_series
    from ggez_hub.regions import alpha, find_region, spelled_out
    from ggez_hub.regions.globalisation import averages, population_source
    from ggez_hub.regions.panel import panel

    if year is not None and years is not None:
        raise click.UsageError("Give one of --year and --years.")
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
    _say_alpha(found, factor, out)
    if others is not None and len(others.members) > 1:
        _print_averages(others, out)
    if shown is not None:
        out.line()
        print_series(shown, out)


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
    """Global-Regional Parity of two scores.

    GRP = alpha * global + (1 - alpha) * regional.
    """
    from ggez_hub.parity import grp
    from ggez_hub.regions import alpha, find_region, spelled_out

    if (region is None) == (given is None):
        raise click.UsageError("Give one of --region and --alpha.")
    factor = None
    if region is not None:
        found = find_region(region)
        factor = alpha(found)
        out.line(spelled_out(found, region))
        _say_alpha(found, factor, out)
    weight = factor.value if factor is not None else given
    assert weight is not None  # noqa: S101 - one of the two was given
    score = grp(q_global, q_regional, weight)
    out.document({"grp": score, "alpha": weight})
    out.line(f"GRP {score:.2f} = {weight:.4g} * {q_global:g} + {1 - weight:.4g} * {q_regional:g}")


@click.group("kof", invoke_without_command=True)
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
    from ggez_hub.regions.kof_import import import_release

    added = import_release(file, release)
    out.document({"release": added.name, "folder": str(added.folder), "series": [*added.series]})
    out.line(f"Release {added.name}: {len(added.series)} series in {added.folder}")
    out.line(f"Use it with: ggez-hub alpha REGION --release {added.name}")


def _list_releases(out: Output) -> None:
    from ggez_hub.regions.kof import load_series, releases

    listed = [(it, load_series(it.series[0], it.name)) for it in releases()]
    out.document(
        [
            {
                "release": release.name,
                "shipped": release.shipped,
                "series": release.series,
                "first_year": table.first_year,
                "last_year": table.last_year,
                "folder": str(release.folder),
            }
            for release, table in listed
        ]
    )
    for release, table in listed:
        origin = "comes with ggez-hub" if release.shipped else release.folder
        out.line(f"{release.name}  {table.first_year}-{table.last_year}  {origin}")
        out.line(f"  {' '.join(release.series)}")


def _list_groups(out: Output) -> None:
    from ggez_hub.regions import alpha, groups

    listed = [(group, alpha(group).value) for group in groups()]
    out.document(
        [
            {"id": it.id, "aliases": it.aliases, "name": it.name, "members": it.members, "alpha": a}
            for it, a in listed
        ]
    )
    rows = (
        (" ".join((it.id, *it.aliases)), it.name, str(len(it.members) or "unknown"), f"{a:.4f}")
        for it, a in listed
    )
    out.table(("group", "name", "countries", "alpha"), rows)
    out.line()
    out.line("A country is its ISO 3166-1 code or its name, in any language: th, Thailand, ไทย.")


def _show_region(asked: str, out: Output) -> None:
    from ggez_hub import regions

    region = regions.find_region(asked)
    spoken = regions.languages(region)
    chain = regions.fallback_chain(region)
    wider = regions.fallback_chain(region, wide=True)[len(chain) :]
    factor = regions.alpha(region)
    names = _names(region, spoken)
    reading = regions.language_reading(region, asked)
    if out.as_json:
        out.document(
            {
                "id": region.id,
                "kind": region.kind,
                "aliases": region.aliases,
                "alpha3": region.alpha3,
                "name": region.name,
                "names": names,
                "members": region.members,
                "languages": [{"name": it.name, **asdict(it)} for it in spoken],
                "fallback_chain": [it.id for it in chain],
                "wider": [it.id for it in wider],
                "alpha": factor.as_dict(),
                "language_code": asdict(reading) if reading else None,
            }
        )
    out.line(regions.spelled_out(region, asked))
    out.line(f"Names: {', '.join([*dict.fromkeys(names.values())][:LISTED_NAMES])}")
    if region.is_country:
        out.line(f"ISO 3166-1: {region.id.upper()}, {region.alpha3}")
    else:
        members = " ".join(region.members) or "unknown: only KOF's aggregate row is at hand"
        out.line(f"Members: {members}")
    out.line(f"Fallback chain: {' > '.join(it.id for it in chain)}")
    out.line(f"With --fallback wide also: {' > '.join(it.id for it in wider) or 'nothing'}")
    _say_alpha(region, factor, out)
    listed = [it for it in spoken if it.official_in or it.percent >= LISTED_PERCENT]
    if listed:
        out.line()
        out.table(
            ("language", "BCP 47", "of the people", "official in"),
            ((it.name, it.tag, f"{it.percent:.1f} %", _official(it)) for it in listed),
        )
    if len(spoken) > len(listed):
        out.line(f"and {len(spoken) - len(listed)} more: --json lists them")


def _print_averages(others: Averages, out: Output) -> None:
    from ggez_hub.regions.globalisation import population_source

    out.line(f"Median of the {len(others.members)} countries: {others.median:.6f}")
    if others.population_weighted is None:
        out.line("Weighted by population: unknown, CLDR has no population for one of them")
    else:
        out.line(
            f"Weighted by population: {others.population_weighted:.6f} ({population_source()})"
        )


def _names(region: Region, spoken: tuple[SpokenLanguage, ...]) -> dict[str, str]:
    """The region's name in English and in its official languages, by BCP 47 tag."""
    tags = ["en", *(language.tag for language in spoken if language.official_in)]
    return {tag: name for tag in tags if (name := region.name_in(tag)) is not None}


def _official(language: SpokenLanguage) -> str:
    parts = [f"parts of {country}" for country in language.regional_in]
    return ", ".join((*language.official_in, *parts))


def _say_alpha(region: Region, factor: Alpha, out: Output) -> None:
    """alpha for people: the value, what it is the mean of, and what one should know of it."""
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
