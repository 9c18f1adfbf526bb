"""`humans serve`: the raters' pages of a study, until it is interrupted."""

from __future__ import annotations

from pathlib import Path

import click

from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import FOLDER


@click.command("serve")
@click.argument("folder", metavar="DIR", type=FOLDER)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on.")
@click.option(
    "--port",
    default=8000,
    show_default=True,
    type=click.IntRange(0, 65535),
    help="0 takes a free one.",
)
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
