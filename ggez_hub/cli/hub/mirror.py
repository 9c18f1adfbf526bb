"""`hub mirror`: a repository of the Hub, or of any hub, in an embedded hub."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import click

from ggez_hub.cli.hub.options import bytes_text
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FILE, NEW_FOLDER
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub


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
@click.option("--private", is_flag=True, help="Make a new repository private.")
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

    Every file is compared with the digest that the source lists. Run it again after it was
    interrupted, or when the source has changed: what is there is neither fetched nor sent again.
    """
    from ggez_hub.embedded import session, session_token
    from ggez_hub.hub.mirror import mirror
    from ggez_hub.hub_connection import connect

    if (root is None) == (address is None):
        raise UsageProblem("name the hub that gets it", "Give --root DIR or --hub URL.")
    if source_name == "embedded":
        raise UsageProblem("the source is hf or an address", "Give --from URL.")
    name, _, revision = repo.partition("@")
    with ExitStack() as until_the_end:
        source = until_the_end.enter_context(connect(source_name, quiet=out.quiet))
        if root is not None:
            endpoint = until_the_end.enter_context(session(root))
            target = Hub(endpoint, session_token(root), temporary=True)
        else:
            target = until_the_end.enter_context(connect(str(address), quiet=out.quiet))
            if token_file is not None:
                target = replace(target, token=token_file.read_text(encoding="utf-8").strip())
        allow = options.pop("allow")
        done = mirror(source, target, name, revision or "main", allow=allow, **options)
    out.document(asdict(done))
    out.line(
        f"{done.repo}: {done.files} files, {bytes_text(done.size)}, of "
        f"{done.source} at {done.source_revision[:12]}"
    )
    out.line(
        f"{len(done.sent)} new or changed, {len(done.removed)} removed; the mirror's commit is "
        f"{done.revision[:12]}, tagged {done.source_revision[:12]}..."
    )
