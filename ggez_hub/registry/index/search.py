"""Adapters of a hub: those that a curated index accepts, those that are named, those by tags."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Literal

from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from ggez_hub.cards import BadCard, CardDocument, parse_card
from ggez_hub.cards.hub_metadata import TAG
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.hub import ChangedFile, Hub
from ggez_hub.registry.constants import CARD_NAME, INDEX_FILE, INDEX_REPO
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index.build import build_index, row_of
from ggez_hub.registry.index.entries import (
    CardSummary,
    IndexEntry,
    Listing,
    UnreadableCard,
    as_author_claims,
    read_pinned_card,
    text_digest,
)
from ggez_hub.registry.index.file import (
    MAX_INDEX_BYTES,
    BadIndex,
    IndexRow,
    read_index,
    unpack_ranking,
)
from ggez_hub.registry.index.shipped import shipped_index
from ggez_hub.registry.request import IndexChoice
from ggez_hub.registry.resolution import PinnedCard
from ggez_hub.registry.trust.freshness import require_fresh

SHOWN_TAGS = 5


class NoIndex(GgezError):
    """The hub has no curated index."""


def accepted_entries(
    hub: Hub,
    regions: Collection[str] | None = None,
    repos: Collection[str] | None = None,
    file_sha256: str | None = None,
) -> Listing:
    """The curated index of a hub: its entries for `regions`, of `repos`, or that record a file; or all.

    Adapters of other regions are counted. The index file is downloaded once for each of its
    versions; where there is none, it is built here from all cards. Raises NoIndex, BadIndex,
    UntrustedIndex, and what the client raises.
    """
    try:
        newest = hub.newest(INDEX_REPO, INDEX_FILE, "dataset")
    except GatedRepoError:
        raise
    except RevisionNotFoundError:  # no commit yet
        return Listing()
    except RepositoryNotFoundError as error:
        raise NoIndex(
            f"{hub.endpoint} has no index of accepted adapters (data set {INDEX_REPO})",
            "Leave out --index hub to take the index that ggez-hub ships, or search the hub itself by "
            "tags: --live --trust any (or your organisations).",
        ) from error
    if newest is None:
        revision, rows, listing = _of_cards(hub, regions, repos, file_sha256)
        signer = require_fresh(hub, revision, None)
    else:
        revision, file = newest
        if file.size > MAX_INDEX_BYTES:
            raise BadIndex(
                f"{INDEX_FILE} of {hub.endpoint} is larger than {MAX_INDEX_BYTES:,} bytes"
            )
        folder = hub.fetch(INDEX_REPO, revision, [file], "dataset")
        signer = require_fresh(hub, revision, sha256_file(folder / INDEX_FILE))
        rows, listing = read_index(folder / INDEX_FILE, regions, repos, file_sha256)
    entries = tuple(_listed(hub, "dataset", revision, row, packed, signer) for row, packed in rows)
    return replace(listing, entries=entries)


def known_entries(
    hub: Hub,
    index: IndexChoice | None = None,
    regions: Collection[str] | None = None,
    repos: Collection[str] | None = None,
    file_sha256: str | None = None,
) -> Listing:
    """The curated index of a hub, or where it has none that of the package; or the one of the two named.

    Raises as `accepted_entries`; NoIndex with `hub` alone.
    """
    where = "The adapters are from"
    if index != "shipped":
        try:
            return accepted_entries(hub, regions, repos, file_sha256)
        except NoIndex:
            if index == "hub":
                raise
            where = f"{hub.endpoint} has no index of its own; the adapters are from"
    found = shipped_index(regions, repos, file_sha256)
    entries = tuple(_listed(hub, "package", found.digest, row, ranks) for row, ranks in found.rows)
    return replace(found.listing, entries=entries, shipped=f"{where} {found.note}")


def _of_cards(
    hub: Hub,
    regions: Collection[str] | None,
    repos: Collection[str] | None,
    file_sha256: str | None,
) -> tuple[str, list[tuple[IndexRow, bytes]], Listing]:
    """The index of a hub without an index file, at its commit; it is small then."""
    index = hub.at_commit(INDEX_REPO, "main", "dataset")
    cards = [f for f in index.files if f.path.startswith("cards/") and f.path.endswith(".md")]
    if not cards:
        return index.revision, [], Listing()
    folder = hub.fetch(INDEX_REPO, index.revision, cards, "dataset")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / INDEX_FILE
        build_index(folder / "cards", file, skip_bad=True, allow_empty=True, processes=False)
        return index.revision, *read_index(file, regions, repos, file_sha256)


def _listed(
    hub: Hub,
    where: Literal["dataset", "package"],
    revision: str,
    row: IndexRow,
    packed: bytes,
    signer: str | None = None,
) -> IndexEntry:
    card = PinnedCard(
        repo=INDEX_REPO,
        repo_type=where,
        revision=revision,
        path=row.path,
        sha256=row.sha256,
        signer=signer,
    )

    def read_card() -> CardDocument:
        from huggingface_hub.errors import EntryNotFoundError

        try:
            document = read_pinned_card(hub, card)
            own, ranking = row_of(document, row.path, row.sha256)
        except (ChangedFile, BadCard) as error:
            raise NotFit(f"is not in the index as its card says: {error.message}") from error
        except EntryNotFoundError as error:
            raise NotFit(f"is in the index, which does not have its card {row.path}") from error
        if own != row or unpack_ranking(ranking) != unpack_ranking(packed):
            raise NotFit(f"is not in the index as {row.path} says")
        return document

    return IndexEntry(
        row.repo, row.revision, True, card, row, read_card, lambda: unpack_ranking(packed)
    )


def yanked_adapters(hub: Hub, index: IndexChoice | None = None) -> Mapping[str, str]:
    """Why adapters were yanked, by repository in lower case."""
    return known_entries(hub, index, ()).yanked


def named_entries(hub: Hub, asked: Iterable[str], index: IndexChoice | None = None) -> Listing:
    """The adapters of these repositories, each with `@REVISION` or without.

    In their order. They are the accepted ones, or by the repositories' own cards at the revision (without one at
    `main`). Raises GgezError for a repository without a valid card, and what the client raises.
    """
    named = [name.partition("@") for name in asked]
    listed = known_entries(hub, index, repos={repo for repo, _, _ in named})
    accepted = {entry.repo: entry for entry in listed.entries}
    found = []
    for repo, _, revision in named:
        known = accepted.get(repo)
        if known is not None and revision in ("", known.revision):
            found.append(known)
            continue
        entry = _own_entry(hub, repo, revision or "main")
        if isinstance(entry, UnreadableCard):
            raise GgezError(f"{repo} {entry.reason}", "Adapters are found by their cards.")
        found.append(replace(entry, asked_by=revision))
    return Listing(tuple(found), shipped=listed.shipped if any(e.accepted for e in found) else "")


def _own_entry(hub: Hub, repo: str, revision: str) -> IndexEntry | UnreadableCard:
    try:
        at = hub.at_commit(repo, revision)
    except RevisionNotFoundError as error:
        tags = ", ".join(sorted(hub.tags(repo))[-SHOWN_TAGS:])
        raise GgezError(
            f"{repo} has no revision {revision!r}",
            f"Name {f'a tag ({tags})' if tags else 'a branch'} or a commit, or leave it out for main.",
        ) from error
    if at.file(CARD_NAME) is None:
        return UnreadableCard(repo, "has no card")
    text = hub.read_text(repo, at.revision, CARD_NAME)
    try:
        document = as_author_claims(parse_card(text, f"{CARD_NAME} of {repo}"))
    except BadCard as error:
        return UnreadableCard(repo, error.message)
    card = PinnedCard(
        repo=at.repo,
        repo_type="model",
        revision=at.revision,
        path=CARD_NAME,
        sha256=text_digest(text),
    )
    summary = CardSummary.of(document)
    return IndexEntry(at.repo, at.revision, False, card, summary, lambda: document)


def live_entries(hub: Hub, regions: Iterable[str], index: IndexChoice | None = None) -> Listing:
    """Adapters on the hub that carry the tags of `regions`, accepted or not.

    What the index has yanked is yanked, whatever the adapter's own card says. One that cannot be read
    is `unreadable`.
    """
    yanked = yanked_adapters(hub, index)
    entries, unreadable = [], []
    for region in regions:
        for repo, revision in hub.discover([TAG, f"ggez-region:{region}"]):
            try:
                found = _own_entry(hub, repo, revision)
            # Anybody may tag a repository: what is wrong with one is no reason to find none.
            except (GgezError, HfHubHTTPError) as problem:
                found = UnreadableCard(repo, str(problem).strip().partition("\n")[0])
            if isinstance(found, UnreadableCard):
                unreadable.append(found)
                continue
            if (reason := yanked.get(repo.lower())) is not None:
                changes = {"state": "yanked", "reason": reason}
                found = replace(found, summary=found.summary.model_copy(update=changes))
            entries.append(found)
    return Listing(tuple(entries), tuple(unreadable), yanked=yanked)
