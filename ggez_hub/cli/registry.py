"""`index` and `registry`: the accepted cards, for maintainers."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cards import read_card
from ggez_hub.cli.group import Group
from ggez_hub.cli.output import Output, hub_option, output_options
from ggez_hub.cli.parameters import FILE, FOLDER, NEW_FILE
from ggez_hub.cli.registry_eval import eval_command
from ggez_hub.cli.trust import signing_option
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.hardware import size_text
from ggez_hub.hub_connection import connect
from ggez_hub.quantities import counted
from ggez_hub.regions import find_region
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.index.build import build_index, publish_index
from ggez_hub.registry.index.search import accepted_entries
from ggez_hub.registry.index.verification import stale_entries, verify_entries
from ggez_hub.registry.trust.signing import SigningKey

if TYPE_CHECKING:
    from ggez_hub.registry.affected import Ingredient

allow_empty_option = click.option(
    "--allow-empty", is_flag=True, help="Make an index without any card, if there is none."
)


@click.group("index", cls=Group)
def index_command() -> None:
    """The index of accepted cards: build, publish, verify."""


@index_command.command("build")
@click.argument("cards", type=FOLDER, default="cards")
@click.option(
    "-o",
    "--output",
    type=NEW_FILE,
    default="index.sqlite",
    show_default=True,
    help="The file to write.",
)
@click.option("--skip-bad", is_flag=True, help="Leave out invalid cards, and list them.")
@click.option(
    "--previous",
    type=FILE,
    help="An index file of yours: cards that have not changed since are taken from it.",
)
@allow_empty_option
@output_options
def index_build(
    cards: Path,
    output: Path,
    skip_bad: bool,
    previous: Path | None,
    allow_empty: bool,
    out: Output,
) -> None:
    """Make the index file of the cards below CARDS (<region>/<family>/<name>.md).

    The same cards give the same bytes. Publish it beside them: docs/registry.md.
    """
    built = build_index(
        cards, output, skip_bad=skip_bad, allow_empty=allow_empty, previous=previous
    )
    for bad in built.bad:
        out.note(f"left out: {bad.reason}")
    out.line(
        f"{output}: {counted(built.cards, 'card')} of {counted(built.regions, 'region')}, {size_text(built.size)}"
    )
    out.document({"file": str(output), **asdict(built)})


@index_command.command("publish")
@click.argument("cards", type=FOLDER, default="cards")
@click.option("--skip-bad", is_flag=True, help="Leave out invalid cards, and list them.")
@allow_empty_option
@signing_option
@hub_option
@output_options
def index_publish(
    cards: Path, skip_bad: bool, allow_empty: bool, by: SigningKey | None, hub: str, out: Output
) -> None:
    """Publish the cards below CARDS, and their index file, to the hub's index in one commit.

    With --signing-key the file is signed with a number and an expiry; run again, one that is half
    expired is signed again.
    """
    with connect(hub, quiet=out.quiet) as server:
        done = publish_index(cards, server, skip_bad=skip_bad, allow_empty=allow_empty, by=by)
    for bad in done.built.bad:
        out.note(f"left out: {bad.reason}")
    what = f"{counted(len(done.changed), 'file')} changed" if done.changed else "unchanged"
    out.line(f"{INDEX_REPO} @ {done.revision[:12]}: {counted(done.built.cards, 'card')}, {what}")
    out.document(asdict(done))


@index_command.command("verify")
@hub_option
@output_options
def index_verify(hub: str, out: Output) -> None:
    """Check every accepted card against the hub, without fetching weights.

    Repositories, commits, files with their sizes and sha256s, the base's weights and the licence
    are compared; each problem is one line.
    """
    with connect(hub, quiet=out.quiet) as server:
        found = verify_entries(accepted_entries(server), server)
    out.document({"ok": not found.problems, **asdict(found)})
    for repo in found.unpinned:
        out.line(f"{repo}: names no sha256s yet, so that only its repositories were looked for")
    if found.problems:
        raise GgezError(
            f"{counted(len(found.problems), 'problem')} in {counted(found.checked, 'accepted card')}\n"
            + "\n".join(f"  {p.card}: {p.repo} {p.problem}" for p in found.problems),
            "Correct the cards, or deprecate or yank them by their status.",
        )
    out.line(f"{counted(found.checked, 'accepted card is', 'accepted cards are')} what the hub has")


@click.group("registry", cls=Group)
def registry_command() -> None:
    """For maintainers: measure cards; list what is out of date, and what a yank affects."""


registry_command.add_command(eval_command)


@registry_command.command("stale")
@click.option("--region", help="Only adapters of this region.")
@hub_option
@output_options
def stale(region: str | None, hub: str, out: Output) -> None:
    """Adapters that are deprecated, yanked or superseded, or whose base has other weights now."""
    only = find_region(region).id if region else None
    with connect(hub, quiet=out.quiet) as server:
        found = stale_entries(accepted_entries(server), server, only)
    out.table(
        ("adapter", "region", "family", "why", "reason"),
        [(s.repo, s.region, s.family, s.why, s.reason) for s in found],
    )
    if not found:
        out.line("Nothing is stale.")
    out.document([asdict(s) for s in found])


@registry_command.command("affected")
@click.argument("named", metavar="[CARD|REPO[@REV]]", required=False)
@hub_option
@output_options
def affected(named: str | None, hub: str, out: Output) -> None:
    """List the published merges made from an adapter, by their locks, whatever its status.

    Without one, those made of anything that was yanked since, or that a card names and that is gone
    from the hub. `marked` are those whose card says so (`ci affected` proposes it); a marked one of
    which nothing is wrong any longer is listed with what is active again.
    """
    from ggez_hub.registry.affected import affected_merges

    wanted = _ingredient(named) if named else None
    with connect(hub, quiet=out.quiet) as server:
        found = affected_merges(server, wanted)
    for repo, reason in found.unreadable:
        out.note(f"{repo}: {reason}")
    out.table(
        ("merge", "made of", "which", "marked"),
        [
            (
                merge.repo,
                f"{c.repo}@{(c.revision or '')[:12]}".rstrip("@"),
                c.status,
                "yes" if merge.marked else "no",
            )
            for merge in found.merges
            for c in merge.causes
        ],
    )
    if not found.merges:
        out.line(
            "No published merge is affected." if wanted is None else "No published merge has it."
        )
    out.document(asdict(found))


def _ingredient(named: str) -> Ingredient:
    """The adapter that a card speaks for, at any commit, or a repository; raises UsageProblem."""
    from ggez_hub.registry.affected import Ingredient

    if not Path(named).is_file():
        repo, _, revision = named.partition("@")
        if repo.count("/") != 1:
            raise UsageProblem(
                f"{named} is neither a card nor a repository", "ORG/NAME, or ORG/NAME@COMMIT"
            )
        return Ingredient(repo, revision or None)
    location = read_card(Path(named)).card.adapter
    if location is None:
        raise UsageProblem(f"{named} does not name where its adapter is", "Name its repository.")
    return Ingredient(location.repo, None)
