"""Pull requests for a new release or year of the KOF index: alpha of each card, and beta by it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError

from ggez_hub.automation.contribution_rules import CARD
from ggez_hub.automation.findings import as_code
from ggez_hub.automation.git_changes import MAX_FILE, accepted_cards
from ggez_hub.automation.github import Proposal
from ggez_hub.automation.indexed_cards import indexed_cards, with_measurement
from ggez_hub.cards import AlphaRecord, CardDocument, alpha_record, parse_card
from ggez_hub.cards.document import CardText
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, HubFile, RepoAtCommit
from ggez_hub.hub.commits import head_of
from ggez_hub.hub.pull_requests import OpenPullRequest, open_pull_requests
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.quantities import counted
from ggez_hub.regions import Alpha, alpha, find_region
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.retune import Retuned, described, retune
from ggez_hub.registry.stored_curve import StoredCurve
from ggez_hub.yaml_text import with_values


@dataclass(frozen=True)
class AlphaUpdate:
    """The pull request that changes a card's alpha; `retuned` has beta before and after, if it has a curve."""

    proposal: Proposal
    before: AlphaRecord
    after: AlphaRecord
    retuned: Retuned | None


def alpha_updates(
    repository: Path, hub: Hub, release: str | None, year: int | None
) -> Iterator[AlphaUpdate]:
    """The accepted, active cards in `repository` with another alpha than that of `release` and `year`.

    beta is chosen from the card's curve in the index, else from the card's own. Raises UsageProblem
    for an unknown release or year.
    """
    indexed = indexed_cards(hub)
    for path, document in accepted_cards(repository).items():
        card = document.card
        if card.status.state != "active" or card.alpha.provenance != "kof":
            continue
        factor = alpha(find_region(card.region), year, card.alpha.series, release)
        new = alpha_record(factor)
        if card.alpha == new:
            continue
        text = (repository / path).read_text(encoding="utf-8")
        known = indexed.get(path)
        measured = (known and with_measurement(document, known.document)) or document
        retuned = _retuned(measured, factor)
        name = path.removeprefix("cards/").removesuffix(".md")
        proposal = Proposal(
            branch=f"retune/{name.replace('/', '-')}",
            path=path,
            text=_with_alpha(text, path, new),
            title=f"Set alpha of {name} to {new.value:.5f}: {new.source}",
            body=described(retuned)
            if retuned
            else f"alpha was {card.alpha.value:.5f} ({card.alpha.source}) and is "
            f"{new.value:.5f} ({new.source}). The registry has no curve of this adapter: no "
            "beta is chosen yet.",
        )
        yield AlphaUpdate(proposal, card.alpha, new, retuned)


def _retuned(document: CardDocument, factor: Alpha) -> Retuned | None:
    card = document.card
    if card.curve == "unknown":
        return None
    try:
        return retune(StoredCurve.of_card(card), find_region(card.region), factor)
    except NoCurve:
        return None


def _with_alpha(text: str, path: str, new: AlphaRecord) -> str:
    inner = CardText.of(text, path).front_matter
    value = new.model_dump(mode="json", exclude_defaults=True)
    changed = text.replace(inner, with_values(inner, {("ggez", "alpha"): value}), 1)
    parse_card(changed, path)
    return changed


BODY = """\
Proposed on the hub: {url}, by {author}. The card is theirs, unchanged.

The conversation is best held there; what is pushed there comes here.
"""


@dataclass(frozen=True)
class Adopted:
    """A proposal on the hub, and its pull request for the registry, or why there is none."""

    there: OpenPullRequest
    proposal: Proposal | None
    reason: str = ""


def to_adopt(repository: Path, hub: Hub) -> Iterator[Adopted]:
    """The open pull requests at the index that are not in the registry yet.

    One that cannot be read is left with the reason, and stops none of the others.
    """
    main = head_of(hub, INDEX_REPO, "dataset")
    for there in open_pull_requests(hub, INDEX_REPO, "dataset"):
        try:
            yield _adopted(there, repository, hub, main)
        except (GgezError, HfHubHTTPError) as problem:
            yield Adopted(there, None, f"cannot be read: {as_code(str(problem))}")


def _adopted(there: OpenPullRequest, repository: Path, hub: Hub, main: RepoAtCommit) -> Adopted:
    at = hub.at_commit(INDEX_REPO, there.reference, "dataset")
    cards = _new_cards(at, main)
    if len(cards) != 1:
        return Adopted(there, None, f"changes {counted(len(cards), 'card')}: a person looks at it")
    (card,) = cards
    text = hub.read_text(INDEX_REPO, at.revision, card.path, "dataset")
    accepted = repository / card.path
    if accepted.is_file() and accepted.read_text(encoding="utf-8") == text:
        return Adopted(there, None, "is accepted already")
    name = card.path.removeprefix("cards/").removesuffix(".md")
    proposal = Proposal(
        branch=f"hub/{there.number}",
        path=card.path,
        text=text,
        title=f"Add {name} (proposal {there.number} on the hub)",
        body=BODY.format(url=there.url, author=as_code(there.author)),
    )
    return Adopted(there, proposal)


def _new_cards(at: RepoAtCommit, main: RepoAtCommit) -> list[HubFile]:
    """The cards of a proposal that are new or changed.

    A proposal older than the index differs from it in other cards too: then only new paths count.
    """
    known = {file.path: file.oid for file in main.files}
    cards = [f for f in at.files if CARD.match(f.path) and f.size <= MAX_FILE]
    added = [f for f in cards if f.path not in known]
    return added or [f for f in cards if f.oid != known[f.path]]
