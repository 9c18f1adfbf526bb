"""`ci adopt`: from the hub, where `contribute` proposes, to where the registry checks."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.ci.run import clone_option
from ggez_hub.cli.output import Output, hub_option, output_options

MOST_NEW = 10


@click.command("adopt")
@clone_option
@hub_option
@output_options
def adopt_command(repository: Path, hub: str, out: Output) -> None:
    """Open a pull request here for each card that was proposed to the index on the hub.

    At most MOST_NEW in one run: proposals cost nothing on the hub. Run again, it brings them up to
    date, opens more, and nothing twice.
    """
    from ggez_hub.automation.adoption import to_adopt
    from ggez_hub.automation.github import GitHub
    from ggez_hub.hubs import connect

    github = GitHub.of_environment()
    document = []
    opened = 0
    with connect(hub, quiet=True) as server:
        for found in to_adopt(repository, server):
            state, url = "left", ""
            if found.proposal is not None:
                state, url = github.propose(found.proposal)
                opened += state == "opened"
            out.line(f"proposal {found.there.number}: {found.reason or f'{state} {url}'}")
            document.append(
                {
                    "proposal": found.there.number,
                    "state": state,
                    "reason": found.reason,
                    "pull_request": url or None,
                }
            )
            if opened == MOST_NEW:
                out.line(f"{MOST_NEW} are opened: the others wait for the next run")
                break
    if not document:
        out.line("Nothing is proposed.")
    out.document({"proposals": document})
