"""`resolve` and `search`: what a pull would take, and what there is."""

from __future__ import annotations

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.request import (
    as_document,
    request_options,
    tell_obligations,
    tell_region,
    tell_resolution,
    tell_table,
)
from ggez_hub.registry.request import Request


@click.command("resolve", short_help="What a pull would take, and why.")
@request_options
@hub_option
@output_options
def resolve_command(request: Request, hub: str, out: Output) -> None:
    """What a pull would take, and why: every candidate with its reason. Nothing is written."""
    from ggez_hub.cli.pull_steps import planned_or_chosen
    from ggez_hub.hub_connection import connect

    tell_region(request, out)
    with connect(hub, quiet=out.quiet) as server:
        # Nothing will be fetched, of whatever size.
        planned = planned_or_chosen(request, server, None, out, hub, costs_only=True)
    tell_resolution(planned, out, explain=True)
    tell_obligations(planned.obligations, out)
    tell_table(planned.table, out)
    out.document(
        as_document(planned.resolution, planned.obligations, planned.table, planned.standing)
    )


@click.command("search", short_help="Adapters that a hub holds, by region and family.")
@click.option("--region", default=None, help="Only adapters that serve this region.")
@click.option("--family", default=None, help="embedding, diffusion or vlm.")
@hub_option
@output_options
def search_command(region: str | None, family: str | None, hub: str, out: Output) -> None:
    """Adapters that a hub's curated index holds, by region and family."""
    from ggez_hub.families import get_family
    from ggez_hub.hub_connection import connect
    from ggez_hub.regions import fallback_chain, find_region
    from ggez_hub.registry.index.search import accepted_entries

    if family is not None:
        get_family(family)
    chain = [r.id for r in fallback_chain(find_region(region))] if region else None
    with connect(hub, quiet=out.quiet) as server:
        entries = accepted_entries(server, chain).entries
    found = [entry for entry in entries if family in {None, entry.summary.family}]
    found.sort(key=lambda e: (e.summary.region, e.repo))
    out.table(
        ("adapter", "region", "family", "kind", "level", "licence", "status"),
        [
            (e.repo, s.region, s.family, s.kind, s.level, s.license, s.status)
            for e in found
            for s in (e.summary,)
        ],
    )
    if not found:
        out.line("The index holds no such adapter.")
    out.document(
        [
            {
                "adapter": e.repo,
                **e.summary.model_dump(include={"region", "family", "kind", "level"}),
                "licence": e.summary.license,
                "base": e.summary.base_repo,
                "status": e.summary.state,
                "reason": e.summary.reason,
                "superseded_by": e.summary.superseded_by,
            }
            for e in found
        ]
    )
