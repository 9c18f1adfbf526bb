"""Releases of the KOF index that the registry has taken up: one committed file for each.

A release comes by a pull request of a maintainer with `kof/<year>.csv`, KOF's own download. Nothing is
looked for in the network.
"""

from __future__ import annotations

import re
from pathlib import Path

from ggez_hub.errors import UsageProblem
from ggez_hub.regions.kof import SHIPPED_RELEASE, releases
from ggez_hub.regions.kof_import import import_release

FOLDER = "kof"
NAME = re.compile(r"(19|20)\d\d")


def import_committed(repository: Path) -> str:
    """Make the registry's releases known on this machine; returns the newest one's name.

    Raises UsageProblem for a file that is not named for a year or not in KOF's shape.
    """
    known = {release.name for release in releases()}
    names = {SHIPPED_RELEASE}
    for file in sorted((repository / FOLDER).glob("*.csv")):
        if not NAME.fullmatch(file.stem):
            raise UsageProblem(
                f"{file} is not named for a release",
                f"A release lies in {FOLDER}/<year>.csv, as KOF names it.",
            )
        if file.stem not in known:
            import_release(file, file.stem)
        names.add(file.stem)
    return max(names)
