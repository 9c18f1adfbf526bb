"""Cards of the index, and authors' own, as entries of a listing."""

from __future__ import annotations

from typing import Literal

from ggez_hub.cards import BadCard, CardDocument, parse_card
from ggez_hub.hub import ChangedFile, Hub, RepoAtCommit
from ggez_hub.registry.index.entries import (
    Entry,
    Unreadable,
    as_its_own_claim,
    entry_of,
    text_digest,
)
from ggez_hub.registry.resolution import PinnedCard


def read_pinned_card(hub: Hub, card: PinnedCard) -> CardDocument:
    """The card that a lock pins; raises ChangedFile, BadCard, and what the client raises."""
    text = hub.read_text(card.repo, card.revision, card.path, card.repo_type)
    where = f"{card.path} of {card.repo}@{card.revision[:12]}"
    if text_digest(text) != card.sha256:
        raise ChangedFile(f"{where} is not the card that the lock pins")
    return _read(text, where, card.repo_type)


def _read(text: str, where: str, repo_type: Literal["model", "dataset"]) -> CardDocument:
    """A card of the index, or an author's own, whose scores are claims; raises BadCard."""
    document = parse_card(text, where)
    return document if repo_type == "dataset" else as_its_own_claim(document)


def entry_of_text(
    at: RepoAtCommit, repo_type: Literal["model", "dataset"], path: str, text: str
) -> Entry | Unreadable:
    """The entry of a card that lies at `path` of a repository, or why it cannot be one."""
    accepted = repo_type == "dataset"
    try:
        document = _read(text, f"{path} of {at.repo}", repo_type)
    except BadCard as error:
        return Unreadable(path if accepted else at.repo, error.message)
    if accepted and document.card.adapter is None:
        return Unreadable(path, "is in the index without the commit of its adapter")
    card = PinnedCard(
        repo=at.repo, repo_type=repo_type, revision=at.revision, path=path, sha256=text_digest(text)
    )
    return entry_of(document, card, accepted)
