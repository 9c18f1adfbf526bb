"""The curated index of a hub: its accepted cards, from its file or card by card."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from itertools import compress
from pathlib import Path

from ggez_hub.cards import BadCard, CardDocument
from ggez_hub.cards.hub_metadata import TAG
from ggez_hub.cards.values import FamilyName
from ggez_hub.errors import GgezError
from ggez_hub.hub import ChangedFile, Hub, HubFile, RepoAtCommit
from ggez_hub.registry.constants import CARD_NAME, INDEX_FILE, INDEX_REPO
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.entries import (
    IndexEntry,
    Listing,
    OtherRegion,
    UnreadableCard,
    entry_of,
    entry_of_text,
    read_pinned_card,
)
from ggez_hub.registry.index.file import (
    MAX_INDEX_BYTES,
    BadIndex,
    IndexRow,
    read_index,
    unpack_ranking,
)
from ggez_hub.registry.resolution import PinnedCard


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


def _listed(hub: Hub, revision: str, row: IndexRow, packed: bytes) -> IndexEntry:
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

    entry = IndexEntry(
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
    entries = [e for e in found if isinstance(e, IndexEntry)]
    asked = [
        (regions is None or e.summary.region in regions) and (repos is None or e.repo in repos)
        for e in entries
    ]
    return Listing(
        entries=tuple(compress(entries, asked)),
        unreadable=tuple(e for e in found if isinstance(e, UnreadableCard)),
        elsewhere=_grouped(compress(entries, [not here for here in asked])),
        yanked={e.repo.lower(): e.summary.reason for e in entries if e.summary.state == "yanked"},
    )


def _listed_card(index: RepoAtCommit, path: str, file: Path) -> IndexEntry | UnreadableCard:
    try:
        return entry_of_text(index, "dataset", path, file.read_text(encoding="utf-8"))
    except UnicodeDecodeError:
        return UnreadableCard(path, "is no UTF-8 text")


def _grouped(entries: Iterable[IndexEntry]) -> tuple[OtherRegion, ...]:
    groups: dict[tuple[str, FamilyName], list[str]] = {}
    for entry in entries:
        groups.setdefault((entry.summary.region, entry.summary.family), []).append(entry.repo)
    return tuple(
        OtherRegion(region, family, len(repos), min(repos))
        for (region, family), repos in sorted(groups.items())
    )


def yanked_adapters(hub: Hub) -> Mapping[str, str]:
    """Why adapters were yanked, by repository in lower case; empty for a hub without an index."""
    try:
        return accepted_entries(hub, ()).yanked
    except NoIndex:
        return {}


class NotAnAdapter(GgezError):
    """A repository that was asked for is no adapter."""


def named_entries(hub: Hub, asked: Iterable[str]) -> list[IndexEntry]:
    """The adapters of these repositories, each with `@REVISION` or without.

    They are the accepted ones, or what the repositories say of themselves at the revision (without
    one at `main`). Raises NotThere, and what the client raises.
    """
    named = [name.partition("@") for name in asked]
    try:
        listed = accepted_entries(hub, repos={repo for repo, _, _ in named}).entries
    except NoIndex:
        listed = ()
    accepted = {entry.repo: entry for entry in listed}
    found = []
    for repo, _, revision in named:
        known = accepted.get(repo)
        if known is not None and revision in ("", known.revision):
            found.append(known)
            continue
        entry = _own_entry(hub, repo, revision or "main")
        if isinstance(entry, UnreadableCard):
            raise NotAnAdapter(f"{repo} {entry.reason}", "Adapters are found by their cards.")
        found.append(replace(entry, asked_by=revision))
    return found


def _own_entry(hub: Hub, repo: str, revision: str) -> IndexEntry | UnreadableCard:
    at = hub.at_commit(repo, revision)
    if at.file(CARD_NAME) is None:
        return UnreadableCard(repo, "has no card")
    return entry_of_text(at, "model", CARD_NAME, hub.read_text(repo, at.revision, CARD_NAME))


def live_entries(hub: Hub, regions: Iterable[str]) -> Listing:
    """Adapters on the hub that carry the tags of `regions`, accepted or not.

    What the hub's index has yanked is yanked, whatever the adapter's own card says.
    """
    yanked = yanked_adapters(hub)
    found: list[IndexEntry | UnreadableCard] = []
    for region in regions:
        for repo, revision in hub.discover([TAG, f"ggez-region:{region}"]):
            found.append(_own_entry(hub, repo, revision))
    return Listing(
        entries=tuple(_unless_yanked(e, yanked) for e in found if isinstance(e, IndexEntry)),
        unreadable=tuple(e for e in found if isinstance(e, UnreadableCard)),
        yanked=yanked,
    )


def _unless_yanked(entry: IndexEntry, yanked: Mapping[str, str]) -> IndexEntry:
    reason = yanked.get(entry.repo.lower())
    if reason is None:
        return entry
    summary = entry.summary.model_copy(update={"state": "yanked", "reason": reason})
    return replace(entry, summary=summary)
