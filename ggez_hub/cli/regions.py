"""`regions`: members, languages and the fallback chain of a region."""

from __future__ import annotations

from dataclasses import asdict

import click

from ggez_hub import regions
from ggez_hub.cli.alpha import print_alpha
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import region_argument
from ggez_hub.regions import SpokenLanguage, alpha, groups

# Languages below this share of the people are counted, not listed, unless official.
LISTED_PERCENT = 1.0
LISTED_NAMES = 12


@click.command("regions")
@region_argument
@output_options
def regions_command(region: str | None, out: Output) -> None:
    """Show regions: members, languages, fallback chain.

    REGION is an ISO 3166-1 code (th), a name ("Thailand", "ไทย") or a group (southeast-asia).
    Without it the groups are listed.
    """
    if region is None:
        _list_groups(out)
    else:
        _show_region(region, out)


def _list_groups(out: Output) -> None:
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


def _show_region(given: str, out: Output) -> None:
    region = regions.find_region(given)
    spoken = regions.languages(region)
    chain = [it.id for it in regions.fallback_chain(region)]
    wider = [it.id for it in regions.fallback_chain(region, wide=True)][len(chain) :]
    factor = regions.alpha(region)
    # In English and in the official languages, by BCP 47 tag.
    tags = ["en", *(language.tag for language in spoken if language.official_in)]
    names = {tag: name for tag in tags if (name := region.name_in(tag)) is not None}
    reading = regions.language_reading(region, given)
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
            "fallback_chain": chain,
            "wider": wider,
            "alpha": factor.as_dict(),
            "language_code": asdict(reading) if reading else None,
        }
    )
    out.line(regions.spelled_out(region, given))
    out.line(f"Names: {', '.join([*dict.fromkeys(names.values())][:LISTED_NAMES])}")
    if region.is_country:
        out.line(f"ISO 3166-1: {region.id.upper()}, {region.alpha3}")
    else:
        members = " ".join(region.members) or "unknown: only KOF's aggregate row is at hand"
        out.line(f"Members: {members}")
    out.line(f"Fallback chain: {' > '.join(chain)}")
    out.line(f"With --fallback wide also: {' > '.join(wider) or 'nothing'}")
    print_alpha(region, factor, out)
    listed = [it for it in spoken if it.official_in or it.percent >= LISTED_PERCENT]
    if listed:
        out.line()
        out.table(
            ("language", "BCP 47", "of the people", "official in"),
            ((it.name, it.tag, f"{it.percent:.1f} %", _official(it)) for it in listed),
        )
    if len(spoken) > len(listed):
        out.line(f"and {len(spoken) - len(listed)} more: --json lists them")


def _official(language: SpokenLanguage) -> str:
    parts = [f"parts of {country}" for country in language.regional_in]
    return ", ".join((*language.official_in, *parts))
