"""`ci publish`: what was accepted, to the hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ggez_hub.cli.ci.workflow import clone_option, keep_option, program_commit
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.hub_connection import connect

WORK = click.option("--work", required=True, type=click.Path(path_type=Path, file_okay=False))


@click.command("measure")
@clone_option
@WORK
@keep_option
@hub_option
@output_options
def measure_command(repository: Path, work: Path, keep: Path | None, hub: str, out: Output) -> None:
    """Measure what was accepted and is new; publish nothing.

    Models of strangers are run here, so this step gets no token that writes. `ci publish` with the
    same --work takes what was measured.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.indexed_cards import indexed_cards
    from ggez_hub.automation.publication import Publisher

    with connect(hub, quiet=True) as server:
        budget, evaluator = read_budget(repository), program_commit(repository)
        publisher = Publisher(repository, server, work, budget, evaluator, out.line, keep)
        found = publisher.measure(indexed_cards(server))
    (work / "evidence").mkdir(parents=True, exist_ok=True)
    out.document({path: outcome.standing for path, outcome in found.items()})


@click.command("publish")
@clone_option
@WORK
@keep_option
@click.option(
    "--merged",
    multiple=True,
    metavar="CARD",
    help="Publish this card's merged weights although they are large.",
)
@click.option(
    "--large",
    is_flag=True,
    envvar="GGEZ_LARGE",
    help="This machine merges what a runner of GitHub cannot.",
)
@hub_option
@output_options
def publish_command(
    repository: Path,
    work: Path,
    keep: Path | None,
    merged: tuple[str, ...],
    large: bool,
    hub: str,
    out: Output,
) -> None:
    """Measure what was accepted, publish the index with its evidence, push the results.

    Merged weights below the budget's merged_gb, else the adapter form. In a run with an identity
    each repository is written by its own Trusted Publisher's token, else by HF_TOKEN.
    """
    from ggez_hub.automation.budget import read_budget
    from ggez_hub.automation.publication import Publisher
    from ggez_hub.automation.result_repository import Pusher

    budget = read_budget(repository)
    on_request = frozenset(path for path in merged if path)
    with connect(hub, quiet=True) as server:
        publisher = Publisher(
            repository, server, work, budget, program_commit(repository), out.line, keep
        )
        pusher = Pusher(server, budget, work / "results", out.line, on_request, large)
        done, standings = publisher.publish(pusher)
    out.line(f"index @ {done.revision[:12]}: {done.built.cards} cards")
    for standing in standings:
        place = f"{standing.form} form at {standing.place}" if standing.place else "no result"
        reason = f": {standing.reason}" if standing.reason else ""
        out.line(f"{standing.path}: {place}{reason}")
    out.document({"index": done.revision, "cards": [asdict(s) for s in standings]})
