"""Cards proposed to the index on the hub, adopted as pull requests of the registry on GitHub.

`ggez-hub contribute` opens its pull request at the index on the hub. One card is taken of it, as text.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.automation.contribution_rules import CARD
from ggez_hub.automation.findings import as_code
from ggez_hub.automation.git_changes import MAX_FILE
from ggez_hub.automation.github import Proposal
from ggez_hub.hub import Hub, HubFile, RepoAtCommit
from ggez_hub.hub.commits import head_of
from ggez_hub.hub.pull_requests import OpenPullRequest, open_pull_requests
from ggez_hub.registry.constants import INDEX_REPO

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
    """The open pull requests at the index that are not in the registry yet."""
    main = head_of(hub, INDEX_REPO, "dataset")
    for there in open_pull_requests(hub, INDEX_REPO, "dataset"):
        at = hub.at_commit(INDEX_REPO, there.reference, "dataset")
        cards = _new_cards(at, main)
        if len(cards) != 1:
            reason = f"changes {len(cards)} cards: a person looks at it"
            yield Adopted(there, None, reason)
            continue
        (card,) = cards
        text = hub.read_text(INDEX_REPO, at.revision, card.path, "dataset")
        accepted = repository / card.path
        if accepted.is_file() and accepted.read_text(encoding="utf-8") == text:
            yield Adopted(there, None, "is accepted already")
            continue
        name = card.path.removeprefix("cards/").removesuffix(".md")
        yield Adopted(
            there,
            Proposal(
                branch=f"hub/{there.number}",
                path=card.path,
                text=text,
                title=f"Add {name} (proposal {there.number} on the hub)",
                body=BODY.format(url=there.url, author=as_code(there.author)),
            ),
        )


def _new_cards(at: RepoAtCommit, main: RepoAtCommit) -> list[HubFile]:
    """The cards of a proposal that are new or changed.

    A proposal older than the index differs from it in other cards too: then only new paths count.
    """
    known = {file.path: file.oid for file in main.files}
    cards = [f for f in at.files if CARD.match(f.path) and f.size <= MAX_FILE]
    added = [f for f in cards if f.path not in known]
    return added or [f for f in cards if f.oid != known[f.path]]
