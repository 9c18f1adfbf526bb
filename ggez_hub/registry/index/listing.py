"""The curated index of a hub: its accepted cards, from its file or card by card."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from itertools import compress
from pathlib import Path

from ggez_hub.cards import BadCard, CardDocument
from ggez_hub.cards.values import Family
from ggez_hub.errors import GgezError
from ggez_hub.hub import ChangedFile, Hub, HubFile, RepoAtCommit
from ggez_hub.registry.index.entries import (
    Elsewhere,
    Entry,
    Listing,
    Unreadable,
    entry_of,
)
from ggez_hub.registry.index.file import MAX_INDEX_BYTES, BadIndex, Row, read_index, unpack_ranking
from ggez_hub.registry.index.reading import entry_of_text, read_pinned_card
from ggez_hub.registry.places import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.resolution import PinnedCard
from ggez_hub.registry.resolving.vetting import NotFit


class NoIndex(GgezError):
    """The hub has no curated index."""


def accepted_entries(
    hub: Hub, regions: Collection[str] | None = None, repos: Collection[str] | None = None
) -> Listing:
    """The curated index of a hub: its entries for `regions`, or of `repos` (None: all of them).

    What else there is for other regions is counted. The index file is downloaded once for each of its versions; where there is none, every card is
    read. Raises NoIndex, BadIndex, and what the client raises.
    """
    from huggingface_hub.errors import (
        GatedRepoError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        newest = hub.newest(INDEX_REPO, INDEX_FILE, "dataset")
    except GatedRepoError:
        raise
    except RevisionNotFoundError:  # no commit yet
        return Listing()
    except RepositoryNotFoundError as error:
        raise NoIndex(
            f"{hub.endpoint} has no index of accepted adapters (data set {INDEX_REPO})",
            "Search the hub itself by tags: add --live --trust any (or your organisations).",
        ) from error
    if newest is None:
        return _of_cards(hub, regions, repos)
    return _of_file(hub, *newest, regions, repos)


def _of_file(
    hub: Hub,
    revision: str,
    file: HubFile,
    regions: Collection[str] | None,
    repos: Collection[str] | None,
) -> Listing:
    """The index from its file at a commit."""
    if file.size > MAX_INDEX_BYTES:
        raise BadIndex(f"{INDEX_FILE} of {hub.endpoint} is larger than {MAX_INDEX_BYTES:,} bytes")
    folder = hub.fetch(INDEX_REPO, revision, [file], "dataset")
    contents = read_index(folder / INDEX_FILE, regions, repos)
    return Listing(
        entries=tuple(_listed(hub, revision, row, packed) for row, packed in contents.rows),
        unreadable=contents.unreadable,
        elsewhere=contents.elsewhere,
        yanked=contents.yanked,
    )


def _listed(hub: Hub, revision: str, row: Row, packed: bytes) -> Entry:
    card = PinnedCard(
        repo=INDEX_REPO,
        repo_type="dataset",
        revision=revision,
        path=row.path,
        sha256=row.sha256,
    )

    def read_card() -> CardDocument:
        """The card beside the file, if it says what the file says of it."""
        try:
            document = read_pinned_card(hub, card)
        except (ChangedFile, BadCard) as error:
            raise NotFit(f"is not in the index as its card says: {error.message}") from error
        read = entry_of(document, card, accepted=True)
        if read != entry or read.ranking != entry.ranking:
            raise NotFit(f"is not in the index as {row.path} says")
        return document

    entry = Entry(
        repo=row.repo,
        revision=row.revision,
        accepted=True,
        card=card,
        summary=row.summary,
        read_card=read_card,
        read_ranking=lambda: unpack_ranking(packed),
    )
    return entry


def _of_cards(hub: Hub, regions: Collection[str] | None, repos: Collection[str] | None) -> Listing:
    """The index read card by card."""
    index = hub.at_commit(INDEX_REPO, "main", "dataset")
    cards = [f for f in index.files if f.path.startswith("cards/") and f.path.endswith(".md")]
    if not cards:
        return Listing()
    # Fetched together: without an index file the index is small.
    folder = hub.fetch(INDEX_REPO, index.revision, cards, "dataset")
    found = [_listed_card(index, f.path, folder / f.path) for f in cards]
    entries = [e for e in found if isinstance(e, Entry)]
    asked = [
        (regions is None or e.summary.region in regions) and (repos is None or e.repo in repos)
        for e in entries
    ]
    return Listing(
        entries=tuple(compress(entries, asked)),
        unreadable=tuple(e for e in found if isinstance(e, Unreadable)),
        elsewhere=_grouped(compress(entries, [not here for here in asked])),
        yanked={e.repo.lower(): e.summary.reason for e in entries if e.summary.state == "yanked"},
    )


def _listed_card(index: RepoAtCommit, path: str, file: Path) -> Entry | Unreadable:
    try:
        return entry_of_text(index, "dataset", path, file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return Unreadable(path, "is no UTF-8 text")


def _grouped(entries: Iterable[Entry]) -> tuple[Elsewhere, ...]:
    groups: dict[tuple[str, Family], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.summary.region, entry.summary.family), []).append(entry.repo)
    return tuple(
        Elsewhere(region, family, len(repos), min(repos))
        for (region, family), repos in sorted(groups.items())
    )


def yanked_adapters(hub: Hub) -> Mapping[str, str]:
    """Why adapters were yanked, by repository in lower case; empty for a hub without an index."""
    try:
        return accepted_entries(hub, ()).yanked
    except NoIndex:
        return {}
