"""`humans serve`: the raters' pages of a study, until it is interrupted."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FOLDER, listening_options


@click.command("serve")
@click.argument("folder", metavar="DIR", type=FOLDER)
@listening_options
@click.option(
    "--address",
    metavar="URL",
    help="The address at which raters reach it, of a proxy that sends Host and X-Forwarded-For.",
)
@output_options
def serve_command(folder: Path, host: str, port: int, address: str | None, out: Output) -> None:
    """Serve a study to its raters: a page for phones and computers, in their languages.

    Each rater opens the link of an invitation (humans invite). Every judgement is on the disk before
    the next item is shown. Ctrl-C ends it; it can be started again at any time.
    """
    from ggez_hub.humans.server import serve

    def announce(url: str) -> None:
        out.line(url)
        out.document({"address": url, "study": str(folder.absolute())})

    serve(folder, host, port, address, announce)
