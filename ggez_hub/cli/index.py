"""`index`: the accepted cards as one file, and checked against the hub."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, FOLDER, NEW_FILE


@click.group("index", short_help="The index of accepted cards: build, publish, verify.")
def index_command() -> None:
    """The index of accepted cards: build, publish, verify."""


@index_command.command("build")
@click.argument("cards", type=FOLDER, default="cards")
@click.option(
    "-o", "--output", type=NEW_FILE, default="index.sqlite",
    show_default=True, help="The file to write.",
)  # fmt: skip
@click.option("--skip-bad", is_flag=True, help="Leave out cards that are off, and say so.")
@click.option(
    "--previous", type=FILE,
    help="An index file of yours: cards that have not changed since are taken from it.",
)  # fmt: skip
@output_options
def build(cards: Path, output: Path, skip_bad: bool, previous: Path | None, out: Output) -> None:
    """Make the index file of the cards below CARDS (<region>/<family>/<name>.md).

    The same cards give the same bytes. Publish it beside them: docs/registry.md.
    """
    from ggez_hub.registry.index.build import build_index

    built = build_index(cards, output, skip_bad=skip_bad, previous=previous)
    for bad in built.bad:
        out.note(f"left out: {bad.reason}")
    out.line(
        f"{output}: {built.cards:,} cards of {built.regions:,} regions, {built.size / 1e6:.1f} MB"
    )
    out.document({"file": str(output), **asdict(built)})


@index_command.command("publish")
@click.argument("cards", type=FOLDER, default="cards")
@click.option("--skip-bad", is_flag=True, help="Leave out cards that are off, and say so.")
@hub_option
@output_options
def publish(cards: Path, skip_bad: bool, hub: str, out: Output) -> None:
    """Bring the hub's index to hold the cards below CARDS, and the index file, by one commit."""
    from ggez_hub.hub_connection import connect
    from ggez_hub.registry.constants import INDEX_REPO
    from ggez_hub.registry.index.build import publish_index

    with connect(hub, quiet=out.quiet) as server:
        done = publish_index(cards, server, skip_bad=skip_bad)
    for bad in done.built.bad:
        out.note(f"left out: {bad.reason}")
    what = f"{len(done.changed)} files changed" if done.changed else "unchanged"
    out.line(f"{INDEX_REPO} @ {done.revision[:12]}: {done.built.cards:,} cards, {what}")
    out.document(asdict(done))


@index_command.command("verify")
@hub_option
@output_options
def verify(hub: str, out: Output) -> None:
    """Check every accepted card against the hub, without fetching weights.

    Repositories, commits, files with their sizes and sha256s, the base's weights and the licence
    are compared; each problem is one line.
    """
    from ggez_hub.errors import GgezError
    from ggez_hub.hub_connection import connect
    from ggez_hub.registry.index.search import accepted_entries
    from ggez_hub.registry.index.verification import verify_entries

    with connect(hub, quiet=out.quiet) as server:
        found = verify_entries(accepted_entries(server), server)
    out.document({"ok": not found.problems, **asdict(found)})
    for repo in found.unpinned:
        out.line(f"{repo}: names no sha256s yet, so that only its repositories were looked for")
    if found.problems:
        raise GgezError(
            f"{len(found.problems)} problems in {found.checked:,} accepted cards\n"
            + "\n".join(f"  {p.card}: {p.repo} {p.problem}" for p in found.problems),
            "Mend the cards, or deprecate or yank them by their status.",
        )
    out.line(f"{found.checked:,} accepted cards are what the hub has")
