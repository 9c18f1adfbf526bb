"""`pull`: a base model adapted to a region, merged and ready to load."""

from __future__ import annotations

import os
from pathlib import Path

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import NEW
from ggez_hub.cli.request import request_options, tell_region
from ggez_hub.errors import UsageProblem
from ggez_hub.registry.request import Request


@click.command("pull", short_help="A base model adapted to a region, merged and ready to load.")
@request_options
@click.option(
    "-o",
    "--out",
    "target",
    type=NEW,
    default=None,
    help="A new folder.  [default: ./ggez-REGION]",
)
@click.option("--locked", is_flag=True, help="Resolve nothing: take what the lock file pins.")
@click.option(
    "--lock",
    "lock_file",
    type=NEW,
    default=None,
    help="The lock file of --locked.  [default: OUT/ggez.lock]",
)
@click.option("--dry-run", is_flag=True, help="Say what would be done and what it costs.")
@click.option("--explain", is_flag=True, help="List every candidate with its reason.")
@click.option("--verify", is_flag=True, help="Read every byte of a folder that is there already.")
@click.option("--merge-here", is_flag=True, help="Take no merged model that others published.")
@click.option("--push", "repo", default=None, metavar="ORG/NAME", help="Publish the result there.")
@click.option("--private", is_flag=True, help="Make the repository of --push private.")
@click.option("--pr", is_flag=True, help="With --push: open a pull request instead of committing.")
@click.option("--offline", is_flag=True, help="Use the cache only.")
@hub_option
@output_options
def pull_command(
    request: Request,
    target: Path | None,
    locked: bool,
    lock_file: Path | None,
    dry_run: bool,
    explain: bool,
    verify: bool,
    merge_here: bool,
    repo: str | None,
    private: bool,
    pr: bool,
    offline: bool,
    hub: str,
    out: Output,
) -> None:
    """A base model adapted to a region, merged and ready to load.

    Finds the region's adapter on the hub, chooses beta by Global-Regional Parity, merges through
    mergekit, and writes OUT/FAMILY/ with a lock file beside it.
    """
    if offline:
        # Read when huggingface_hub is imported, which nothing has done before this.
        os.environ["HF_HUB_OFFLINE"] = "1"
    if lock_file is not None and not locked:
        raise UsageProblem("--lock names the lock file of --locked", "Add --locked.")
    if pr and repo is None:
        raise UsageProblem("--pr is of --push", "Name the repository: --push ORG/NAME --pr")

    from ggez_hub.cli.pull_cache import say_again
    from ggez_hub.hub_connection import connect
    from ggez_hub.regions import find_region

    region = find_region(request.region)
    target = target or Path(f"ggez-{region.id}")
    with connect(hub, quiet=out.quiet) as server:
        plain = not (locked or dry_run or explain or verify or offline or repo)
        if plain and say_again(request, server, target, out):
            return
        tell_region(request, out)
        from ggez_hub.cli.pull_steps import Mode, run

        mode = Mode(
            target, locked, lock_file, dry_run, explain, verify, offline, hub,
            merge_here=merge_here, push=repo, private=private, pr=pr,
        )  # fmt: skip
        run(request, server, mode, out)
