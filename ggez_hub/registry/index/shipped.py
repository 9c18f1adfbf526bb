"""The index that the package ships: the accepted cards, for hubs that have no index of their own.

The adapters of the demo world are left out: they are on the embedded hub, whose index has them.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub import __version__
from ggez_hub.cards.document import read_text
from ggez_hub.cards.hub_metadata import DEMO_TAG
from ggez_hub.digests import digest_json
from ggez_hub.quantities import counted
from ggez_hub.registry.constants import INDEX_FILE
from ggez_hub.registry.index.build import build_index
from ggez_hub.registry.index.entries import Listing, shipped_cards
from ggez_hub.registry.index.file import IndexRow, read_index


@dataclass(frozen=True)
class ShippedIndex:
    """Rows of the shipped index with their packed rankings, and the listing without its entries.

    `digest` (40 hex digits) identifies all its cards; `note` says in words which index it is.
    """

    digest: str
    rows: list[tuple[IndexRow, bytes]]
    listing: Listing
    note: str


def shipped_index(
    regions: Collection[str] | None = None,
    repos: Collection[str] | None = None,
    file_sha256: str | None = None,
) -> ShippedIndex:
    """The shipped index, what of it `read_index` gives. Needs no network."""
    with tempfile.TemporaryDirectory() as place:
        folder, file = Path(place) / "cards", Path(place) / INDEX_FILE
        for path in sorted(shipped_cards().glob("*/*/*.md")):
            if f"\n- {DEMO_TAG}\n" not in read_text(path):
                copy = folder / path.relative_to(shipped_cards())
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
        # A plug-in's family may be missing here: its cards are left out.
        build_index(folder, file, skip_bad=True, allow_empty=True, processes=False)
        every = [row for row, _ in read_index(file)[0]]
        rows, listing = read_index(file, regions, repos, file_sha256)
    newest = max((row.registered for row in every if row.registered), default="unknown")
    note = f"the index of ggez-hub {__version__}: {counted(len(every), 'adapter')}, the newest of {newest}; yanks since then are unknown"
    digest = digest_json({row.path: row.sha256 for row in every})[:40]
    return ShippedIndex(digest, rows, replace(listing, shipped=note), note)
