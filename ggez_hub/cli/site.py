"""`site`: the explorer as static files, built, served and published."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from ggez_hub.cli.group import Group
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FOLDER, NEW_FOLDER, listening_options, out_option
from ggez_hub.errors import UsageProblem
from ggez_hub.hardware import size_text
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.quantities import counted

if TYPE_CHECKING:
    from ggez_hub.site.build import BuiltSite

F = TypeVar("F", bound=Callable[..., Any])


def cards_option(command: F) -> F:
    """`--index`: where the accepted cards come from."""
    return click.option(
        "--index",
        metavar="hub|shipped|DIR",
        help="The accepted cards: the hub's index, the one that ggez-hub ships, or a folder of cards.  "
        "[default: the hub's if it has one]",
    )(command)


answers_option = click.option(
    "--answers",
    is_flag=True,
    help="Fetch the answers behind the scores: all gates, languages, and questions with their "
    "pictures where the licence allows it.",
)


@click.group("site", cls=Group)
def site_command() -> None:
    """The explorer: a map of the accepted adapters, as static files."""


@site_command.command("build")
@out_option("The folder to write.", NEW_FOLDER)
@cards_option
@answers_option
@hub_option
@output_options
def build_command(target: Path, index: str | None, answers: bool, hub: str, out: Output) -> None:
    """Write the explorer of an index as a folder of static files.

    It opens from the disk and from any web server, and loads nothing from elsewhere. The same index
    gives the same bytes.
    """
    with connect(hub, quiet=out.quiet) as server:
        built = _build(server, hub, index, target, out, answers=answers)
    out.line(
        f"{target}: {counted(built.adapters, 'adapter')}, {counted(built.files, 'file')}, "
        f"{size_text(built.size)}. Open {target / 'index.html'}"
    )
    out.document(asdict(built) | {"folder": str(target)})


@site_command.command("serve")
@click.argument("folder", metavar="[DIR]", type=FOLDER, required=False)
@cards_option
@answers_option
@hub_option
@listening_options
@output_options
def serve_command(
    folder: Path | None,
    index: str | None,
    answers: bool,
    hub: str,
    host: str,
    port: int,
    out: Output,
) -> None:
    """Serve a built explorer on this machine, or one that is built for it.

    Ctrl-C ends it.
    """
    from ggez_hub.site.server import serve

    def announce(url: str) -> None:
        out.line(url)
        out.document({"address": url})

    with _built(folder, index, hub, out, answers=answers) as (site, _):
        serve(site, host, port, announce)


@site_command.command("publish")
@click.argument("repo", metavar="ORG/NAME")
@click.option("--dir", "folder", type=FOLDER, help="A built explorer; otherwise one is built.")
@cards_option
@answers_option
@hub_option
@output_options
def publish_command(
    repo: str, folder: Path | None, index: str | None, answers: bool, hub: str, out: Output
) -> None:
    """Publish the explorer to a static Space, in one commit.

    The Space is made if it is not there. Files that did not change are not sent.
    """
    from ggez_hub.registry.request import require_repository
    from ggez_hub.site.publication import publish_site

    require_repository(repo)
    with _built(folder, index, hub, out, answers=answers) as (site, server):
        done = publish_site(site, repo, server)
        page = server.page(repo, "space")
    what = f"{counted(len(done.changed), 'file')} changed" if done.changed else "unchanged"
    out.line(f"{page} @ {done.revision[:12]}: {what}")
    out.document({"space": repo, "page": page, **asdict(done)})


@contextmanager
def _built(
    folder: Path | None, index: str | None, hub: str, out: Output, *, answers: bool
) -> Iterator[tuple[Path, Hub]]:
    """A folder with a site, which is built where none is named, and the hub."""
    if folder is not None and (index is not None or answers):
        raise UsageProblem(
            "--index and --answers are for an explorer that is built now",
            "Leave them out, or the folder.",
        )
    with connect(hub, quiet=out.quiet) as server, tempfile.TemporaryDirectory() as place:
        if folder is None:
            folder = Path(place) / "site"
            _build(server, hub, index, folder, out, answers=answers)
        yield folder, server


def _build(
    server: Hub, hub: str, index: str | None, target: Path, out: Output, *, answers: bool
) -> BuiltSite:
    from ggez_hub.charts import site_files
    from ggez_hub.site.build import build_site
    from ggez_hub.site.source import index_source, read_source

    source = read_source(server, hub, index_source(index))
    if source.record.shipped:
        out.note(f"{source.record.shipped}.")
    built = build_site(source, target, site_files(), answers=answers)
    for bad in built.left_out:
        out.note(f"left out: {bad.reason}")
    return built
