"""`registry`: what maintainers look after."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ggez_hub.cli.ci.workflow import clone_option, keep_option, program_commit
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, NEW_FOLDER


@click.group("registry", short_help="For maintainers: measure a card, stale adapters.")
def registry_command() -> None:
    """For maintainers: measure a card, stale adapters."""


@registry_command.command("eval")
@click.argument("card", type=FILE)
@click.option(
    "-o", "--out", "target", required=True, type=NEW_FOLDER, help="A folder for what is measured."
)
@clone_option
@keep_option
@hub_option
@output_options
def eval_command(
    card: Path, target: Path, repository: Path, keep: Path | None, hub: str, out: Output
) -> None:
    """Measure one card by the registry's tasks, and gate it, as `ci evaluate` does for a pull request.

    Writes results, predictions, the measured card and the comment into the folder. The evaluator that
    the rows name is the commit of the clone. Ends with 3 if a gate fails.
    """
    from dulwich.errors import NotGitRepository

    from ggez_hub.automation.contribution_rules import ProposedCard
    from ggez_hub.automation.evaluation import evaluate
    from ggez_hub.automation.remote_evaluation import digest_of
    from ggez_hub.cards import read_card
    from ggez_hub.cli.ci.workflow import answer
    from ggez_hub.errors import UsageProblem
    from ggez_hub.hub_connection import connect

    document = read_card(card)
    if document.card.adapter is None:
        raise UsageProblem(
            f"{card} does not name where its adapter is",
            "Add `adapter: {repo, revision}` to its `ggez:` block.",
        )
    try:
        evaluator = program_commit(repository)
    except NotGitRepository as error:
        raise UsageProblem(
            f"{repository} is not a clone of the registry", "Give one with --repository."
        ) from error
    proposed = ProposedCard(card.as_posix(), document, None)
    with connect(hub, quiet=True) as server, out.progress("steps") as progress:
        bar = progress.add_task(card.name, total=None)
        found = evaluate(
            proposed,
            server,
            target,
            evaluator=evaluator,
            keep=keep,
            progress=lambda done, total: progress.update(bar, completed=done, total=total),
        )
    answer([found], digest_of(document), target, out)


@registry_command.command("stale")
@click.option("--region", default=None, help="Only adapters of this region.")
@hub_option
@output_options
def stale(region: str | None, hub: str, out: Output) -> None:
    """Adapters that are deprecated, yanked or superseded, or whose base has other weights now."""
    from ggez_hub.hub_connection import connect
    from ggez_hub.regions import find_region
    from ggez_hub.registry.index.search import accepted_entries
    from ggez_hub.registry.index.verification import stale_entries

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
