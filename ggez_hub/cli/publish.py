"""`publish`: an adapter's folder to a repository on a hub."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FOLDER

if TYPE_CHECKING:
    from ggez_hub.registry.publication.adapter import Parcel
    from ggez_hub.registry.publication.result import Published


@click.command("publish", short_help="An adapter's folder to a repository on the hub.")
@click.argument("folder", type=FOLDER)
@click.option("--repo", required=True, metavar="ORG/NAME", help="The repository; made if missing.")
@click.option("--pr", is_flag=True, help="Open a pull request there instead of committing.")
@click.option("--private", is_flag=True, help="Make the repository private, if it is made.")
@click.option(
    "--include", multiple=True, metavar="PATTERN", help="Further files, as training.json."
)
@hub_option
@output_options
def publish_command(
    folder: Path,
    repo: str,
    pr: bool,
    private: bool,
    include: tuple[str, ...],
    hub: str,
    out: Output,
) -> None:
    """Check an adapter's folder and publish it: its card, and the files that the card records.

    It is checked as `pull` will check it. All arrives in one commit with a version tag; repeated,
    nothing is sent twice.
    """
    from ggez_hub.hub_connection import connect
    from ggez_hub.registry.publication.adapter import publish, read_parcel

    parcel = read_parcel(folder, include)
    with connect(hub, quiet=out.quiet) as server:
        done = publish(parcel, server, repo, private=private, pr=pr)
    _tell(done, parcel, out)
    out.document(
        {
            "repo": done.repo,
            "revision": done.revision,
            "tag": done.tag,
            "changed": list(done.changed),
            "left_out": list(parcel.left_out),
            "pull_request": done.proposal.url if done.proposal else None,
        }
    )


def _tell(done: Published, parcel: Parcel, out: Output) -> None:
    if parcel.left_out:
        out.line(f"left out: {', '.join(parcel.left_out)} (--include takes more)")
    if done.proposal is not None:
        out.line(f"{done.proposal.state}: {done.proposal.url}")
        return
    what = "unchanged" if not done.changed else f"sent {', '.join(done.changed)}"
    out.line(f"{done.repo} @ {done.revision[:12]} is {done.tag}: {what}")
    region = parcel.document.card.region
    out.line(f"Register it: ggez-hub contribute {done.repo} --region {region}")
