"""Adapters that may be candidates: what ranks them and rules them out, without reading every card."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Annotated, Any, Literal

from pydantic import Field

from ggez_hub.cards import BadCard, CardDocument, parse_card, render_card
from ggez_hub.cards.curve import Curve
from ggez_hub.cards.schema import Location
from ggez_hub.cards.values import (
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
from ggez_hub.hub import ChangedFile, Hub, RepoAtCommit
from ggez_hub.parity.card_rows import ranking_rows
from ggez_hub.registry.resolution import PinnedCard


class CardSummary(FrozenModel):
    """What a card says of its adapter, as far as it ranks the adapter or rules it out.

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
    def standing(self) -> str:
        """The status in words: `deprecated: reason; superseded by org/name`."""
        # In one line, whatever the card's author wrote.
        given = " ".join(self.reason.split()) or "no reason given"
        reason = "" if self.state == "active" else f": {given}"
        successor = f"; superseded by {self.superseded_by}" if self.superseded_by else ""
        return f"{self.state}{reason}{successor}"

    @classmethod
    def of(cls, document: CardDocument) -> CardSummary:
        """The summary of a card."""
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
    """The digest of a base's weights, or `unknown`: equal for mirrors that name files otherwise."""
    return weights if weights == "unknown" else digest_json(sorted(weights.values()))


@dataclass(frozen=True)
class IndexEntry:
    """An adapter that may be a candidate: where it lies, and whether it was accepted.

    `asked_by` is the revision that it was asked for by, if any. `summary` and `ranking` are at hand; `document`, the card itself, is read when it is asked for,
    and may then raise NotFit.
    """

    repo: str
    revision: str
    accepted: bool
    card: PinnedCard
    summary: CardSummary
    read_card: Callable[[], CardDocument] = field(repr=False, compare=False)
    read_ranking: Callable[[], Curve] = field(repr=False, compare=False)
    asked_by: str = ""

    @cached_property
    def document(self) -> CardDocument:
        """The card; raises NotFit if it is not what the index says."""
        return self.read_card()

    @cached_property
    def ranking(self) -> Curve:
        """The registry's validation scores, which `trade` ranks by; empty without any."""
        return self.read_ranking()


@dataclass(frozen=True)
class UnreadableCard:
    """An adapter whose card cannot be read, with the reason."""

    repo: str
    reason: str


@dataclass(frozen=True)
class OtherRegion:
    """Adapters of other regions than those that were asked for: how many, and one by name."""

    region: RegionId
    family: FamilyName
    count: int
    repo: RepoId


@dataclass(frozen=True)
class Listing:
    """What there is for some regions, and what else there is.

    `yanked` says why, by repository in lower case, of all adapters that the registry has yanked.
    """

    entries: tuple[IndexEntry, ...] = ()
    unreadable: tuple[UnreadableCard, ...] = ()
    elsewhere: tuple[OtherRegion, ...] = ()
    yanked: Mapping[str, str] = field(default_factory=dict)


def as_author_claims(document: CardDocument) -> CardDocument:
    """A card that its author wrote: what it says the registry measured is a claim of his own.

    Only the registry's copy of a card, in the index, says what the registry measured.
    """
    own: dict[str, Any] = {"measured_by": "self"}
    curve, beside = document.card.curve, document.card.baselines
    # Only the registry closes a part of its test side.
    claimed: dict[str, Any] = {"closed": None}
    if curve != "unknown":
        claimed["curve"] = {
            beta: {key: row.model_copy(update=own) for key, row in rows.items()}
            for beta, rows in curve.items()
        }
    if document.card.parity != "independent":
        claimed["parity"] = {
            split: sides.model_copy(update=own) for split, sides in document.card.parity.items()
        }
    if beside is not None:
        claimed["baselines"] = beside.model_copy(update=own)
    return replace(document, card=document.card.model_copy(update=claimed))


def entry_of(document: CardDocument, card: PinnedCard, accepted: bool) -> IndexEntry:
    """The entry of a card that has been read: at its `adapter`, or beside the card itself."""
    location = document.card.adapter if accepted else None

    def ranking() -> Curve:
        curve = document.card.curve
        return {} if curve == "unknown" else ranking_rows(curve)

    return IndexEntry(
        repo=location.repo if location else card.repo,
        revision=location.revision if location else card.revision,
        accepted=accepted,
        card=card,
        summary=CardSummary.of(document),
        read_card=lambda: document,
        read_ranking=ranking,
    )


def text_digest(text: str) -> str:
    """The sha256 of a card's text."""
    return hashlib.sha256(text.encode()).hexdigest()


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
    return document if repo_type == "dataset" else as_author_claims(document)


def entry_of_text(
    at: RepoAtCommit, repo_type: Literal["model", "dataset"], path: str, text: str
) -> IndexEntry | UnreadableCard:
    """The entry of a card that lies at `path` of a repository, or why it cannot be one."""
    accepted = repo_type == "dataset"
    try:
        document = _read(text, f"{path} of {at.repo}", repo_type)
    except BadCard as error:
        return UnreadableCard(path if accepted else at.repo, error.message)
    if accepted and document.card.adapter is None:
        return UnreadableCard(path, "is in the index without the commit of its adapter")
    card = PinnedCard(
        repo=at.repo, repo_type=repo_type, revision=at.revision, path=path, sha256=text_digest(text)
    )
    return entry_of(document, card, accepted)


NOT_IN_NAMES = re.compile(r"[^a-z0-9._-]+")


def card_path(document: CardDocument, repo: str, *, with_owner: bool = False) -> str:
    """Where the index keeps a card: cards/<region>/<family>/<name>.md, in lower case.

    `with_owner` puts the owner before the name, where another adapter has the name already.
    """
    owner, _, name = repo.lower().partition("/")
    full = f"{owner}--{name}" if with_owner else name
    name = NOT_IN_NAMES.sub("-", full).lstrip("._-")[:90] or "adapter"
    return f"cards/{document.card.region}/{document.card.family}/{name}.md"


def located(document: CardDocument, location: Location) -> CardDocument:
    """The registry's copy of a card, which says where the adapter lies."""
    card = document.card.model_copy(update={"adapter": location})
    return CardDocument(card, document.front_matter, document.prose)


def accepted(document: CardDocument, repo: str, revision: str, *, recommended: bool = False) -> str:
    """The text of the registry's copy of a card; `recommended` is taken where a region is all that is asked."""
    place = Location(repo=repo, revision=revision, recommended=recommended)
    return render_card(located(document, place))
