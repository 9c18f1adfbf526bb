"""`hub gc`, `hub purge`, `hub backup`: what is stored, must go, or must not get lost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ggez_hub.cli.hub.options import store_option
from ggez_hub.cli.output import Output, output_options
from ggez_hub.cli.parameters import NEW_FOLDER, Number
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.hardware import size_text

if TYPE_CHECKING:
    from ggez_hub.embedded import HubStore


@click.command("gc")
@click.option(
    "--grace",
    default=24.0,
    show_default=True,
    metavar="HOURS",
    type=Number(min=0),
    help="Keep what is newer than this, or was promised to a client: a commit may need it.",
)
@click.option("--dry-run", is_flag=True, help="Measure what would go; remove nothing.")
@store_option
@output_options
def gc_command(store: HubStore, grace: float, dry_run: bool, out: Output) -> None:
    """Remove what no branch, tag or pull request needs: large files, chunks, git objects.

    It may run while the hub serves and takes uploads, and can be killed and run again. Until then,
    what a squash or a deleted branch left can be reached by commit id.
    """
    from ggez_hub.embedded.garbage import collect
    from ggez_hub.embedded.sessions import SessionFiles

    if grace < 1 and not dry_run and SessionFiles(store.root).is_serving():
        raise UsageProblem(
            "a server runs on the folder: uploads may be under way",
            "Give --grace 1 or more, or stop the server.",
        )
    freed = collect(store, grace * 3600, dry_run=dry_run)
    out.document({**asdict(freed), "total_bytes": freed.total_bytes, "dry_run": dry_run})
    rows = (
        (f"large files ({freed.large_files})", freed.large_bytes),
        (f"xorbs ({freed.xorbs})", freed.xorb_bytes),
        ("git objects", freed.git_bytes),
        ("leftovers of killed processes", freed.leftover_bytes),
    )
    for name, nbytes in rows:
        out.line(f"{name}: {size_text(nbytes)}")
    out.line(f"{'would free' if dry_run else 'freed'} {size_text(freed.total_bytes)}")
    if freed.damaged:
        raise GgezError(
            f"objects are missing in {', '.join(freed.damaged)}, of which nothing was removed",
            "Run `git fsck` in their folders, and restore them from a backup.",
        )


@click.command("purge")
@click.argument("repo", metavar="[datasets/|spaces/]ORG/NAME")
@click.argument("what", metavar="PATH|SHA256")
@click.option("--yes", is_flag=True, help="Do it; without this what would go is printed.")
@store_option
@output_options
def purge_command(store: HubStore, repo: str, what: str, yes: bool, out: Output) -> None:
    """Remove a file's content for good: from all repositories, from storage and history.

    By its path, as it is and as it ever was in the repository, or by its sha256. Addresses of a
    removed file answer 451, and it is refused when it is sent again. For a large file history stays
    as it is; commits with a small one get other ids. Backups and what others downloaded stay.
    """
    from ggez_hub.embedded.names import URL_PREFIXES
    from ggez_hub.embedded.purging import find, purge

    kind, slash, name = repo.partition("/")
    types = {prefix.rstrip("/"): kind for kind, prefix in URL_PREFIXES.items() if prefix}
    if kind in types and "/" in name:
        record = store.repo(types[kind], name)
    else:
        record = store.repo("model", kind + slash + name)
    content = find(store, record, what)
    if yes:
        purge(store, content)
    repos = [each.url_path for each in content.repos]
    out.document(
        {
            "large_files": sorted(content.large),
            "small_files": sorted(content.small),
            "repositories": repos,
            "done": yes,
        }
    )
    out.line(f"{len(content.large)} large and {len(content.small)} small files")
    for each in repos:
        out.line(f"  in {each}" + (": commits get other ids" if content.small else ""))
    out.line("removed" if yes else "nothing was removed: add --yes")


@click.command("backup")
@click.argument("target", type=NEW_FOLDER)
@store_option
@output_options
def backup_command(store: HubStore, target: Path, out: Output) -> None:
    """Copy the hub into a new folder, consistent, while it serves and takes uploads.

    To restore it, serve the copy: ggez-hub serve --root TARGET
    """
    from ggez_hub.embedded.backup import back_up

    done = back_up(store, target)
    out.document({**asdict(done), "folder": str(target.absolute())})
    out.line(f"{done.repos} repositories, {done.files} files, {size_text(done.size)} in {target}")
