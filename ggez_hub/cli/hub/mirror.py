"""`hub mirror`: a repository of the Hub, or of any hub, in an embedded hub."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from ggez_hub.cli.hub.options import ByteCount
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, NEW_FOLDER
from ggez_hub.errors import UsageProblem
from ggez_hub.hardware import size_text


@click.command("mirror")
@click.argument("repo", metavar="ORG/NAME[@REVISION]")
@click.option(
    "--from",
    "source_name",
    default="hf",
    show_default=True,
    metavar="hf|URL",
    help="The hub that has it.",
)
@click.option("--root", type=NEW_FOLDER, help="The folder of the hub that gets it.")
@click.option("--hub", "address", metavar="URL", help="The address of the hub that gets it.")
@click.option(
    "--token-file", type=FILE, help="With --hub: a file with a token that may write there."
)
@click.option(
    "--type",
    "repo_type",
    type=click.Choice(["model", "dataset", "space"]),
    default="model",
    show_default=True,
    help="What it is.",
)
@click.option(
    "--allow",
    multiple=True,
    metavar="PATTERN",
    help="Only paths that match, as *.safetensors; may be repeated.",
)
@click.option(
    "--max-size",
    type=ByteCount(),
    help="Refuse more than so many bytes of files, and of history.  [default: any number]",
)
@click.option(
    "--private/--public",
    default=None,
    help="Make a new repository private or public.  [default: private where not everybody may read the source]",
)
@output_options
def mirror_command(
    repo: str,
    source_name: str,
    root: Path | None,
    address: str | None,
    token_file: Path | None,
    out: Output,
    **options: Any,
) -> None:
    """Copy a repository at a commit into an embedded hub, for a place without a network.

    With --root its history is copied, too: every commit keeps its id. With --hub the files are
    copied, as one new commit. Every file is compared with the digest that the source lists. Run it
    again after an interruption, or when the source has changed: files that are there are not
    transferred again.
    """
    from ggez_hub.embedded import HubStore
    from ggez_hub.hub.mirror import mirror
    from ggez_hub.hub.mirror_history import mirror_history
    from ggez_hub.hub_connection import connect

    if (root is None) == (address is None):
        raise UsageProblem("name the hub that gets it", "Give --root DIR or --hub URL.")
    if source_name == "embedded":
        raise UsageProblem("the source is hf or an address", "Give --from URL.")
    name, _, revision = repo.partition("@")
    with ExitStack() as until_the_end:
        source = until_the_end.enter_context(connect(source_name, quiet=out.quiet))
        if root is not None:
            store = until_the_end.enter_context(HubStore.open(root))
            done = mirror_history(source, store, name, revision or "main", **options)
        else:
            target = until_the_end.enter_context(connect(str(address), quiet=out.quiet))
            if token_file is not None:
                target = replace(target, token=token_file.read_text(encoding="utf-8").strip())
            done = mirror(source, target, name, revision or "main", **options)
    out.document(asdict(done))
    out.line(
        f"{done.repo}: {done.files} {'large ' if root else ''}files, {size_text(done.size)}, "
        f"{len(done.sent)} of them new, of {done.source} at {done.source_revision}"
    )
    if done.revision != done.source_revision:
        out.line(f"the mirror's commit is {done.revision}; a tag with the source's leads to it")
