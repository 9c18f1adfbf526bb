"""`ci retune`: a new release or year of the KOF index, to a pull request for each card."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.ci.run import clone_option, summary
from ggez_hub.cli.output import Output, hub_option, output_options


@click.command("retune")
@clone_option
@click.option("--release", default=None, help="Of the KOF index.  [default: the newest there is]")
@click.option("--year", type=int, default=None, help="Of the release.  [default: its latest]")
@click.option("--dry-run", is_flag=True, help="Open nothing; say what would change.")
@hub_option
@output_options
def retune_command(
    repository: Path, release: str | None, year: int | None, dry_run: bool, hub: str, out: Output
) -> None:
    """Open a pull request for each accepted card whose alpha is of an older release or year.

    Releases are committed as kof/<year>.csv. beta is chosen again from the curves that the index
    has, without evaluation. Run again, it opens nothing twice.
    """
    from ggez_hub.automation.github import GitHub
    from ggez_hub.automation.proposal import Proposal
    from ggez_hub.automation.releases import import_committed
    from ggez_hub.automation.retuning import new_alphas
    from ggez_hub.hubs import connect
    from ggez_hub.parity.betas import as_json

    newest = import_committed(repository)
    github = None if dry_run else GitHub.of_environment()
    lines, document = [], []
    with connect(hub, quiet=True) as server:
        for found in new_alphas(repository, server, release or newest, year):
            state, url = "found", None
            if github is not None:
                proposal = Proposal(found.branch, found.path, found.text, found.title, found.body)
                state, url = github.propose(proposal)
            betas = None if found.retuned is None else (found.retuned.taken, found.retuned.beta)
            said = "no curve"
            if betas is not None:
                before = "none" if betas[0] is None else f"{betas[0]:g}"
                said = f"beta {before} to {betas[1]:g}"
            lines.append(
                f"{found.path}: alpha {found.before.value:.5f} to {found.after.value:.5f}, {said}: "
                f"{state}{f' {url}' if url else ''}"
            )
            document.append(
                {
                    "card": found.path,
                    "alpha_before": found.before.value,
                    "alpha": found.after.value,
                    "beta_before": betas and (None if betas[0] is None else as_json(betas[0])),
                    "beta": betas and as_json(betas[1]),
                    "state": state,
                    "pull_request": url,
                }
            )
    if not lines:
        lines = [
            f"Nothing changes: every active card has the alpha of release {release or newest}."
        ]
    for line in lines:
        out.line(line)
    summary("\n".join(f"- {line}" for line in lines) + "\n")
    out.document({"release": release or newest, "cards": document})
