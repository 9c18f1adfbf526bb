"""From an adapter to a pull request at the index: its card, with the repository and the commit."""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.cards import BadCard, CardDocument, parse_card, render_card
from ggez_hub.cards.document import has_block
from ggez_hub.cards.schema import Location
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub.pull_requests import Proposal, propose
from ggez_hub.registry.constants import CARD_NAME, INDEX_REPO
from ggez_hub.registry.contribution.adapter_files import AdapterFiles
from ggez_hub.registry.index.entries import card_path, same_adapter
from ggez_hub.registry.index.search import accepted_entries
from ggez_hub.registry.licences import reviewed
from ggez_hub.registry.publication.adapter import Parcel, beside, publish
from ggez_hub.registry.publication.result import Published
from ggez_hub.registry.repositories import Repositories, problems_on_hub


@dataclass(frozen=True)
class CardProposal:
    """A card that can be proposed: the registry's copy of it, its place in the index, its text."""

    document: CardDocument
    path: str
    text: str


def own_card(files: AdapterFiles, hub: Hub) -> CardDocument | None:
    """The card that an adapter brings along in its README, if it has one; raises BadCard."""
    text = files.readme
    if files.at is not None and files.at.file(CARD_NAME) is not None:
        text = hub.read_text(files.at.repo, files.at.revision, CARD_NAME)
    if not has_block(text):
        return None
    return parse_card(text, f"{CARD_NAME} of {files.name}")


def claimed(document: CardDocument, owner: str, contributor: str) -> CardDocument:
    """The card with who published the adapter, and who registers it.

    Raises GgezError where it has scores of the registry that the registry has never seen.
    """
    card = document.card
    measured_by = {
        found.measured_by for found in (*card.rows, *card.people, card.baselines) if found
    }
    if "registry" in measured_by or card.closed is not None:
        raise GgezError(
            "the card has scores `measured_by: registry` that the registry did not write",
            "Your own scores are `measured_by: self`.",
        )
    return document.with_card(published_by=owner, registered_by=contributor)


def push(
    document: CardDocument, files: AdapterFiles, hub: Hub, repo: str, *, private: bool
) -> Published:
    """Publish an adapter of this disk with its card, and of a folder what goes with it.

    Raises as `publish`.
    """
    return publish(parcel_of(document, files), hub, repo, private=private)


def parcel_of(document: CardDocument, files: AdapterFiles) -> Parcel:
    """An adapter of this disk with its card, and of a folder what goes with it."""
    more = beside(files.folder) if files.folder else {}
    return Parcel(document, {**more, **files.paths})


def refuse_second_card(document: CardDocument, repo: str, hub: Hub) -> None:
    """Raise GgezError if the index has an active card of `repo` for another region or family."""
    place = (document.card.region, document.card.family)
    for entry in accepted_entries(hub, repos={repo}).entries:
        there = entry.summary
        if there.state == "active" and (there.region, there.family) != place:
            raise GgezError(
                f"{repo} {same_adapter(entry.card.path)}",
                "If that card is wrong, have it yanked first: a pull request that changes its status.",
            )


def candidate(document: CardDocument, location: Location, hub: Hub) -> CardProposal:
    """The card as it is proposed, checked against the hub as `pull` will check it.

    Raises GgezError with every problem, and what the client raises.
    """
    if document.license == UNKNOWN:
        raise GgezError("the adapter has no known licence", "Name it with --license.")
    reviewed(document.license, location.repo)
    copy = document.with_card(adapter=location)
    if problems := list(problems_on_hub(copy.card, Repositories(hub))):
        raise GgezError(
            f"{location.repo} would not be taken by `pull`:\n"
            + "\n".join(f"  {problem}" for problem in problems)
        )
    return CardProposal(copy, _free_path(copy, hub), render_card(copy))


def register(found: CardProposal, hub: Hub) -> Proposal:
    """Propose a card to the index of the hub; the same card twice is one pull request.

    Raises GgezError without a token, and what the client raises.
    """
    card, location = found.document.card, found.document.card.adapter
    assert location is not None  # noqa: S101 - a proposed card has the place of its adapter
    return propose(
        hub,
        INDEX_REPO,
        {found.path: found.text.encode()},
        f"Register {location.repo} for {card.region} ({card.family})",
        f"{card.summary.get('en', '')}\n\nBase: {card.base.repo}. Licence: {found.document.license}. "
        f"Published by {card.published_by}, registered by {card.registered_by}, level {card.level}.",
        repo_type="dataset",
    )


def _free_path(document: CardDocument, hub: Hub) -> str:
    """The card's place in the index; another adapter of the same name keeps its own."""
    location = document.card.adapter
    assert location is not None  # noqa: S101 - as above
    path = card_path(document, location.repo)
    if not hub.exists(INDEX_REPO, "dataset"):
        return path
    index = hub.at_commit(INDEX_REPO, "main", "dataset")
    if index.file(path) is None:
        return path
    try:
        there = parse_card(hub.read_text(INDEX_REPO, index.revision, path, "dataset"), path)
        other = there.card.adapter
        taken = other is not None and other.repo.lower() != location.repo.lower()
    except BadCard:
        taken = True
    return card_path(document, location.repo, with_owner=True) if taken else path
