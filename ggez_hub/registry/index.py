"""Where candidates come from: the accepted cards of a hub, and a search by tags."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ggez_hub.cards import BadCard, CardDocument, parse_card
from ggez_hub.cards.document import HUB_TAGS
from ggez_hub.errors import GgezError
from ggez_hub.hub import ChangedFile, Hub, RepoAtCommit
from ggez_hub.registry.resolution import PinnedCard

# A hub's accepted cards are a data set of this name: cards/<region>/<family>/<name>.md, each with
# the commit of its adapter.
INDEX_REPO = "ggez-hub/index"
CARD_NAME = "README.md"


class NoIndex(GgezError):
    """The hub has no curated index."""


@dataclass(frozen=True)
class Entry:
    """An adapter that may be a candidate: its card, where it lies, and whether it was accepted."""

    document: CardDocument
    repo: str
    revision: str
    accepted: bool
    card: PinnedCard


@dataclass(frozen=True)
class Unreadable:
    """An adapter whose card cannot be read, with the reason."""

    repo: str
    reason: str


def accepted_entries(hub: Hub) -> list[Entry | Unreadable]:
    """The curated index of a hub; raises NoIndex if it has none."""
    if not hub.exists(INDEX_REPO, "dataset"):
        raise NoIndex(
            f"{hub.endpoint} has no index of accepted adapters (data set {INDEX_REPO})",
            "Search the hub itself by tags: add --live --trust any (or your organisations).",
        )
    index = hub.at_commit(INDEX_REPO, "main", "dataset")
    cards = [f for f in index.files if f.path.startswith("cards/") and f.path.endswith(".md")]
    if not cards:
        return []
    # Fetched together: the index is one small repository.
    folder = hub.fetch(INDEX_REPO, index.revision, cards, "dataset")
    return [
        _entry(index, "dataset", f.path, (folder / f.path).read_text(encoding="utf-8"))
        for f in cards
    ]


def live_entries(hub: Hub, regions: Iterable[str]) -> list[Entry | Unreadable]:
    """Adapters on the hub that carry the tags of `regions`, accepted or not."""
    found: list[Entry | Unreadable] = []
    for region in regions:
        for repo, revision in hub.discover([HUB_TAGS, f"ggez-region:{region}"]):
            at = hub.at_commit(repo, revision)
            if at.file(CARD_NAME) is None:
                found.append(Unreadable(repo, "has no card"))
            else:
                text = hub.read_text(repo, at.revision, CARD_NAME)
                found.append(_entry(at, "model", CARD_NAME, text))
    return found


def read_pinned_card(hub: Hub, card: PinnedCard) -> CardDocument:
    """The card that a lock pins; raises ChangedFile, BadCard, and what the client raises."""
    text = hub.read_text(card.repo, card.revision, card.path, card.repo_type)
    where = f"{card.path} of {card.repo}@{card.revision[:12]}"
    if _sha256(text) != card.sha256:
        raise ChangedFile(f"{where} is not the card that the lock pins")
    return parse_card(text, where)


def _entry(
    at: RepoAtCommit, repo_type: Literal["model", "dataset"], path: str, text: str
) -> Entry | Unreadable:
    try:
        document = parse_card(text, f"{path} of {at.repo}")
    except BadCard as error:
        return Unreadable(path if repo_type == "dataset" else at.repo, error.message)
    card = PinnedCard(
        repo=at.repo, repo_type=repo_type, revision=at.revision, path=path, sha256=_sha256(text)
    )
    if repo_type == "model":
        return Entry(document, at.repo, at.revision, accepted=False, card=card)
    location = document.card.adapter
    if location is None:
        return Unreadable(path, "is in the index without the commit of its adapter")
    return Entry(document, location.repo, location.revision, accepted=True, card=card)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
