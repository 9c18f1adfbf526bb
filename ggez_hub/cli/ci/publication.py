"""`ci publish`: what was accepted, to the hub."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.ci.run import clone_option, program_commit
from ggez_hub.cli.output import Output, hub_option, output_options


@click.command("publish")
@clone_option
@click.option("--work", required=True, type=click.Path(path_type=Path, file_okay=False))
@hub_option
@output_options
def publish_command(repository: Path, work: Path, hub: str, out: Output) -> None:
    """Measure what was accepted, publish the index with its evidence, push the merged models."""
    from dataclasses import asdict

    from ggez_hub.automation.publish import publish_accepted
    from ggez_hub.hubs import connect

    with connect(hub, quiet=True) as server:
        done, standings = publish_accepted(
            repository, server, work, evaluator=program_commit(repository), say=out.line
        )
    out.line(f"index @ {done.revision[:12]}: {done.built.cards} cards")
    for standing in standings:
        out.line(f"{standing.path}: {standing.merged or f'no merged model: {standing.reason}'}")
    out.document({"index": done.revision, "cards": [asdict(s) for s in standings]})
