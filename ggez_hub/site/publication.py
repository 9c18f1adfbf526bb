"""A site as a static Space of a hub: one commit with everything or nothing."""

from __future__ import annotations

from pathlib import Path

from ggez_hub.cards.readme import readme_text
from ggez_hub.contained_files import files_below
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import (
    Committed,
    Content,
    commit,
    ensure_repo,
    head_of,
    require_token,
    write_access,
)

README = "README.md"
# What git of the Hub keeps in every new repository stays.
KEPT = frozenset({".gitattributes"})
FRONT = {
    "title": "ggez-hub explorer",
    "emoji": "🗺️",
    "colorFrom": "blue",
    "colorTo": "gray",
    "sdk": "static",
    "app_file": "index.html",
    "license": "apache-2.0",
    "short_description": "Regional adapters of vision-language models, on a map",
}
TEXT = (
    "A map of the regional adapters that ggez-hub's registry has accepted: measured gains with their "
    "intervals, gates, licences, and the commands that pull them.",
    "Written by `ggez-hub site publish`; the next build replaces every file. No server runs here, and "
    "nothing is loaded from elsewhere.",
)


def require_page(folder: Path) -> None:
    """Raise UsageProblem for a folder that is not a site: it may be a private one."""
    if not (folder / "index.html").is_file():
        raise UsageProblem(
            f"{folder} is not a site: it has no index.html",
            "`ggez-hub site build -o DIR` makes one.",
        )


def publish_site(folder: Path, repo: str, hub: Hub) -> Committed:
    """Bring a static Space to hold exactly the files of a site; it is made where it is not there.

    Unchanged files are not sent. Raises UsageProblem for a folder without a page, and as `commit`.
    """
    files: dict[str, Content] = dict(files_below(folder))
    require_page(folder)
    files[README] = readme_text(FRONT, TEXT).encode()
    require_token(hub)
    may_write = write_access(hub, repo, "space").hub
    ensure_repo(may_write, repo, private=False, repo_type="space", space_sdk="static")
    there = {file.path for file in head_of(may_write, repo, "space").files}
    gone = there - files.keys() - KEPT
    return commit(
        may_write, repo, files, "Build the explorer", remove=sorted(gone), repo_type="space"
    )
