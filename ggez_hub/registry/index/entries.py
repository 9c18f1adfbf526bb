"""Adapters that may be candidates: what ranks them or rules them out, without reading every card."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

import ggez_hub
from ggez_hub.cards import CardDocument, parse_card, render_card
from ggez_hub.cards.curve import Curve
from ggez_hub.cards.document import read_text
from ggez_hub.cards.schema import Location
from ggez_hub.cards.values import (
    UNKNOWN,
    Date,
    FamilyName,
    Kind,
    Level,
    RegionId,
    RepoId,
    Sha256,
    State,
    Text,
    Unknown,
)
from ggez_hub.digests import digest_json
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.hub import ChangedFile, Hub
from ggez_hub.registry.resolution import PinnedCard


class CardSummary(FrozenModel):
    """What of a card ranks its adapter or rules it out.

    `base_weights` identifies the base: the digest of the sorted sha256s of its weight files,
    whatever their names. `registered` is the day (ISO 8601) on which the registry accepted it,
    `recommended` whether it is the one to take for its region where nothing else is asked for.
    """

    region: RegionId
    family: FamilyName
    kind: Kind
    level: Level
    license: Text
    state: State
    reason: Text
    superseded_by: RepoId | None
    base_repo: RepoId
    base_weights: Sha256 | Unknown
    registered: Date | None
    # SQLite has no truth values.
    recommended: Annotated[bool, Field(strict=False)]

    @property
    def status(self) -> str:
        """The status in words: `deprecated: reason; superseded by org/name`."""
        # In one line, whatever the card's author wrote.
        given = " ".join(self.reason.split()) or "no reason given"
        reason = "" if self.state == "active" else f": {given}"
        successor = f"; superseded by {self.superseded_by}" if self.superseded_by else ""
        return f"{self.state}{reason}{successor}"

    @classmethod
    def of(cls, document: CardDocument) -> CardSummary:
        card = document.card
        return cls(
            region=card.region,
            family=card.family,
            kind=card.kind,
            level=card.level,
            license=document.license,
            state=card.status.state,
            reason=card.status.reason,
            superseded_by=card.status.superseded_by,
            base_repo=card.base.repo,
            base_weights=weights_identity(card.base.weights),
            registered=card.adapter.registered if card.adapter else None,
            recommended=card.adapter is not None and card.adapter.recommended,
        )


def weights_identity(weights: dict[str, str] | Unknown) -> str:
    """The digest of a base's weights, or `unknown`: equal for mirrors with other file names."""
    return weights if weights == UNKNOWN else digest_json(sorted(weights.values()))


@dataclass(frozen=True)
class IndexEntry:
    """An adapter that may be a candidate; `accepted` adapters are in the curated index.

    `asked_by` is the revision that it was asked for by, if any. The card itself is read when
    `document` is used first.
    """

    repo: str
    revision: str
    accepted: bool
    card: PinnedCard
    summary: CardSummary
    read_card: Callable[[], CardDocument] = field(repr=False, compare=False)
    read_ranking: Callable[[], Curve] = field(default=dict, repr=False, compare=False)
    asked_by: str = ""

    @cached_property
    def document(self) -> CardDocument:
        """The card; raises NotFit if it is not as the index has it."""
        return self.read_card()

    @cached_property
    def ranking(self) -> Curve:
        return self.read_ranking()


@dataclass(frozen=True)
class UnreadableCard:
    """A card that cannot be read or accepted: its path in the index or its repository, and why."""

    path: str
    reason: str


def same_adapter(path: str) -> str:
    """Why a card cannot be accepted beside the active card at `path`."""
    return (
        f"speaks for the same adapter as {path}: a repository has one active card; one that serves "
        "several countries is registered for a group of them"
    )


class OtherRegion(FrozenModel):
    """Adapters of another region than those that were asked for: how many, and one of them."""

    region: RegionId
    family: FamilyName
    count: int
    repo: RepoId


@dataclass(frozen=True)
class Listing:
    """Adapters for some regions, and a count of those elsewhere.

    `yanked` has the reason for every adapter that the registry has yanked, by repository in lower
    case. `shipped` says which index of the package it is; empty for that of a hub.
    """

    entries: tuple[IndexEntry, ...] = ()
    unreadable: tuple[UnreadableCard, ...] = ()
    elsewhere: tuple[OtherRegion, ...] = ()
    yanked: Mapping[str, str] = field(default_factory=dict)
    shipped: str = ""


def as_author_claims(document: CardDocument) -> CardDocument:
    """A card that its author wrote: all its scores are claims, whatever `measured_by` says.

    Only the registry's copy of a card, in the index, has the registry's measurements.
    """
    own: dict[str, Any] = {"measured_by": "self"}
    card = document.card
    # Only the registry closes a part of its test side.
    claimed: dict[str, Any] = {"closed": None}
    claimed["people"] = [row.model_copy(update=own) for row in card.people]
    if card.curve != UNKNOWN:
        claimed["curve"] = {
            beta: {key: row.model_copy(update=own) for key, row in rows.items()}
            for beta, rows in card.curve.items()
        }
    if card.parity != "independent":
        claimed["parity"] = {
            split: sides.model_copy(update=own) for split, sides in card.parity.items()
        }
    if card.baselines is not None:
        claimed["baselines"] = card.baselines.model_copy(update=own)
    return document.with_card(**claimed)


def text_digest(text: str) -> str:
    """The sha256 of a card's text."""
    return hashlib.sha256(text.encode()).hexdigest()


def shipped_cards() -> Path:
    """The folder of the cards that the package ships: in the wheel, or in the checkout."""
    installed = Path(__file__).with_name("cards")
    return installed if installed.is_dir() else Path(ggez_hub.__file__).parents[1] / "cards"


def read_pinned_card(hub: Hub, card: PinnedCard) -> CardDocument:
    """The card that a lock or an index file pins; raises ChangedFile, BadCard, and what the client raises."""
    if card.repo_type == "package":
        return parse_card(_shipped_text(card), card.path)
    text = hub.read_text(card.repo, card.revision, card.path, card.repo_type)
    where = f"{card.path} of {card.repo}@{card.revision[:12]}"
    if text_digest(text) != card.sha256:
        raise ChangedFile(f"{where} is not the card that was pinned")
    document = parse_card(text, where)
    return document if card.repo_type == "dataset" else as_author_claims(document)


def _shipped_text(card: PinnedCard) -> str:
    path = shipped_cards() / card.path.removeprefix("cards/")
    text = read_text(path) if path.is_file() else ""
    if text_digest(text) != card.sha256:
        raise ChangedFile(
            f"{card.path} of ggez-hub {ggez_hub.__version__} is not the card that was pinned",
            "Install the version that the lock file names, or pull anew without --locked.",
        )
    return text


def card_path(document: CardDocument, repo: str, *, with_owner: bool = False) -> str:
    """Where the index keeps a card: cards/<region>/<family>/<name>.md, in lower case.

    `with_owner` puts the owner before the name, where another adapter has the name already.
    """
    owner, _, name = repo.lower().partition("/")
    full = f"{owner}--{name}" if with_owner else name
    name = re.sub(r"[^a-z0-9._-]+", "-", full).lstrip("._-")[:90] or "adapter"
    return f"cards/{document.card.region}/{document.card.family}/{name}.md"


def accepted(document: CardDocument, repo: str, revision: str, *, recommended: bool = False) -> str:
    """The text of the registry's copy of a card, whose adapter is in `repo` at a commit."""
    location = Location(repo=repo, revision=revision, recommended=recommended)
    return render_card(document.with_card(adapter=location))
