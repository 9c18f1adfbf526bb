"""What a site is made of: the accepted cards of a hub, of the package, or of a folder."""

from __future__ import annotations

import datetime
import tempfile
from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TypeAlias, cast

from ggez_hub.cards import CardDocument, read_card
from ggez_hub.errors import UsageProblem
from ggez_hub.hub import Hub
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.index.build import build_index
from ggez_hub.registry.index.entries import IndexEntry, Listing
from ggez_hub.registry.index.file import read_index, unpack_ranking
from ggez_hub.registry.index.search import known_entries
from ggez_hub.registry.request import IndexChoice
from ggez_hub.registry.resolution import PinnedCard
from ggez_hub.registry.trust.memory import seen_index

# `hub`, `shipped`, a folder of cards; None: the package's where the hub has none.
IndexSource: TypeAlias = IndexChoice | Path | None
NO_COMMIT = "0" * 40


@dataclass(frozen=True)
class IndexRecord:
    """Which index it was; of a signed one its number and when it expires. Dates are ISO 8601."""

    repo: str | None = None
    commit: str | None = None
    number: int | None = None
    date: str | None = None
    expires: str | None = None
    shipped: str | None = None


@dataclass(frozen=True)
class CardSource:
    """Accepted cards, and the hub that has the adapters, under the name by which it is asked.

    The hub is asked for nothing where the cards are not its own (`is_hubs` is false).
    """

    hub: Hub
    hub_name: str
    listing: Listing
    record: IndexRecord
    is_hubs: bool

    @cached_property
    def _by_region(self) -> Mapping[str, list[IndexEntry]]:
        found: dict[str, list[IndexEntry]] = defaultdict(list)
        for entry in self.listing.entries:
            found[entry.summary.region].append(entry)
        return found

    def of(self, regions: Collection[str]) -> Listing:
        """The cards of these regions. What is read of them is not kept with the source."""
        entries = (entry for region in regions for entry in self._by_region.get(region, ()))
        return replace(self.listing, entries=tuple(map(replace, entries)))


def index_source(text: str | None) -> IndexSource:
    """The source that `hub`, `shipped` or the path of a folder of cards means; raises UsageProblem."""
    if text is None or text in {"hub", "shipped"}:
        return cast("IndexSource", text)
    folder = Path(text) / "cards" if (Path(text) / "cards").is_dir() else Path(text)
    if not text or not folder.is_dir():
        raise UsageProblem(
            f"{text!r} is not an index", "Use --index hub, --index shipped, or a folder of cards."
        )
    return folder


def read_source(hub: Hub, hub_name: str, index: IndexSource = None) -> CardSource:
    """The cards of an index; those of a hub are fetched all at once.

    Raises as `known_entries`; GgezError for a folder that holds no card.
    """
    if isinstance(index, Path):
        listing = _of_folder(index)
        return CardSource(hub, hub_name, listing, IndexRecord(), is_hubs=False)
    listing = known_entries(hub, index)
    revision = listing.entries[0].card.revision if listing.entries else None
    if listing.shipped or revision is None:
        record = IndexRecord(commit=revision, shipped=listing.shipped or None)
        return CardSource(hub, hub_name, listing, record, is_hubs=False)
    at = hub.at_commit(INDEX_REPO, revision, "dataset")
    paths = {entry.card.path for entry in listing.entries}
    if there := [file for file in at.files if file.path in paths]:
        hub.fetch(INDEX_REPO, revision, there, "dataset")
    seen = seen_index(hub)
    signed = seen if seen and seen.revision == revision else None
    record = IndexRecord(
        repo=INDEX_REPO,
        commit=revision,
        number=signed.number if signed else None,
        date=_utc(at.date),
        expires=signed.expires.isoformat() if signed and signed.expires else None,
    )
    return CardSource(hub, hub_name, listing, record, is_hubs=True)


def _utc(date: str) -> str | None:
    return datetime.datetime.fromisoformat(date).date().isoformat() if date else None


def _of_folder(cards: Path) -> Listing:
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / INDEX_FILE
        build_index(cards, file, skip_bad=True)
        rows, listing = read_index(file)

    def entry(number: int) -> IndexEntry:
        row, packed = rows[number]

        def read() -> CardDocument:
            return read_card(cards / row.path.removeprefix("cards/"))

        card = PinnedCard(
            repo=INDEX_REPO,
            repo_type="package",
            revision=NO_COMMIT,
            path=row.path,
            sha256=row.sha256,
        )
        return IndexEntry(
            row.repo, row.revision, True, card, row, read, lambda: unpack_ranking(packed)
        )

    return replace(listing, entries=tuple(map(entry, range(len(rows)))))
