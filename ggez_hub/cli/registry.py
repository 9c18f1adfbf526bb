"""`registry`: what maintainers look after."""

from __future__ import annotations

from dataclasses import asdict

import click

from ggez_hub.cli.output import Output, hub_option, output_options


@click.group("registry", short_help="For maintainers: stale adapters.")
def registry_command() -> None:
    """For maintainers: stale adapters."""


@registry_command.command("stale")
@click.option("--region", default=None, help="Only adapters of this region.")
@hub_option
@output_options
def stale(region: str | None, hub: str, out: Output) -> None:
    """Adapters that are deprecated, yanked or superseded, or whose base has other weights now."""
    from ggez_hub.hubs import connect
    from ggez_hub.regions import find_region
    from ggez_hub.registry.index.listing import accepted_entries
    from ggez_hub.registry.index.stale import stale_entries

    only = find_region(region).id if region else None
    with connect(hub, quiet=out.quiet) as server:
        found = stale_entries(accepted_entries(server), server, only)
    out.table(
        ("adapter", "region", "family", "why", "reason"),
        [(s.repo, s.region, s.family, s.why, s.reason) for s in found],
    )
    if not found:
        out.line("Nothing is stale.")
    out.document([asdict(s) for s in found])
