"""The registry as its clone has it: the accepted cards, and the releases of the KOF index.

A release arrives by a maintainer's pull request with `kof/<year>.csv`, KOF's own download.
"""

from __future__ import annotations

import re
from pathlib import Path

from ggez_hub.cards import BadCard, CardDocument, read_card
from ggez_hub.errors import UsageProblem
from ggez_hub.regions.kof import SHIPPED_RELEASE, releases
from ggez_hub.regions.kof_import import import_release

FOLDER = "kof"
NAME = re.compile(r"(19|20)\d\d")


def import_committed(repository: Path) -> str:
    """Import the registry's releases on this machine; returns the newest one's name.

    Raises UsageProblem for a file that is not named for a year, or not in KOF's format.
    """
    known = {release.name for release in releases()}
    names = {SHIPPED_RELEASE}
    for file in sorted((repository / FOLDER).glob("*.csv")):
        if not NAME.fullmatch(file.stem):
            raise UsageProblem(
                f"{file} is not named for a release",
                f"A release is in {FOLDER}/<year>.csv, as KOF names it.",
            )
        if file.stem not in known:
            import_release(file, file.stem)
        names.add(file.stem)
    return max(names)


def accepted_cards(folder: Path) -> dict[str, CardDocument]:
    """The accepted cards in the repository at `folder`, by path; invalid ones are left out."""
    cards = {}
    for path in sorted((folder / "cards").glob("*/*/*.md")):
        try:
            cards[path.relative_to(folder).as_posix()] = read_card(path)
        except BadCard:
            continue
    return cards
