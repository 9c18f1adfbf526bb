"""Pull requests on a hub that mark published merges as affected: a tag and a notice in the card."""

from __future__ import annotations

import re
from collections.abc import Sequence

from ggez_hub.automation.contribution_rules import as_code
from ggez_hub.cards.document import CardText
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub, RepoAtCommit
from ggez_hub.hub.commits import Content, head_of
from ggez_hub.hub.pull_requests import Proposal, open_pull_requests, propose
from ggez_hub.registry.affected import AFFECTED_TAG, AffectedMerge, Cause
from ggez_hub.registry.constants import CARD_NAME
from ggez_hub.registry.trust.policy import key_digest
from ggez_hub.registry.trust.signing import SigningKey, sign_files
from ggez_hub.registry.trust.statement import SIGNATURE_FILE, BadSignature, verify_bundle
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.yaml_text import with_values

BEGIN, END = f"<!-- {AFFECTED_TAG} -->", f"<!-- /{AFFECTED_TAG} -->"
NOTICE = re.compile(f"{BEGIN}.*?{END}\n*", re.DOTALL)
BODY = """\
Since this model was published:

{causes}

This marks its card: the tag `{tag}`, and a notice above the text. Weights and lock stay as they are.
{unsigned}Close it if it is wrong; it is not opened again.
"""
UNSIGNED = f"`{SIGNATURE_FILE}` is of the card as it was: sign the files again after the merge.\n"


def propose_mark(merge: AffectedMerge, hub: Hub, by: SigningKey | None = None) -> Proposal:
    """Open or update the pull request that marks a merge; nothing is opened twice.

    A merge that `by` signed is signed anew. Raises GgezError for a card that cannot be marked, and
    what the client raises.
    """
    at = head_of(hub, merge.repo)
    title = f"Mark as affected by {', '.join(cause.repo for cause in merge.causes)}"
    text = hub.read_text(at.repo, at.revision, CARD_NAME)
    files: dict[str, Content] = {CARD_NAME: marked_card(text, merge.causes).encode()}
    files |= _signed_again(hub, at, title, files, by)
    is_unsigned = at.file(SIGNATURE_FILE) is not None and SIGNATURE_FILE not in files
    body = BODY.format(
        causes=_listed(merge.causes), tag=AFFECTED_TAG, unsigned=UNSIGNED if is_unsigned else ""
    )
    if at.file(CARD_NAME) and files[CARD_NAME] == text.encode():
        return Proposal("accepted", f"{hub.page(at.repo)}/tree/main", None)
    return propose(hub, at.repo, files, title, body, parent=at.revision, once=True)


def marked_card(text: str, causes: Sequence[Cause]) -> str:
    """A card with the tag and the notice; one that has the same stays as it is. Raises GgezError."""
    card = CardText.of(text, CARD_NAME)
    head = text.removesuffix(card.prose)
    if not head.endswith("\n"):  # A card without prose may end with its front matter.
        head += "\n\n"
    try:
        tags = load_mapping(card.front_matter, CARD_NAME).get("tags")
        if not isinstance(tags, list):
            raise GgezError(f"{CARD_NAME} has no list of `tags`")
        if AFFECTED_TAG not in tags:
            front = with_values(card.front_matter, {("tags",): [*tags, AFFECTED_TAG]})
            head = head.replace(card.front_matter, front, 1)
    except (ValueError, KeyError) as problem:
        raise GgezError(
            f"the front matter of {CARD_NAME} cannot be changed: {problem}"
        ) from problem
    notice = (
        f"{BEGIN}\n> **Affected.** Do not use this model for anything new:\n>\n"
        + "".join(f"> {line}\n" for line in _listed(causes).splitlines())
        + f"{END}\n\n"
    )
    return head + notice + NOTICE.sub("", card.prose)


def _listed(causes: Sequence[Cause]) -> str:
    """Each ingredient on a line, a stranger's text as code."""
    return "\n".join(
        f"- {as_code(f'{c.repo}@{c.revision[:12]}' if c.revision else c.repo)} "
        + (f"was yanked: {as_code(c.reason)}" if c.state == "yanked" else c.reason)
        for c in causes
    )


def _signed_again(
    hub: Hub, at: RepoAtCommit, title: str, files: dict[str, Content], by: SigningKey | None
) -> dict[str, Content]:
    """The signature with the changed files, where `by` made the one that is there, and it holds."""
    if by is None or at.file(SIGNATURE_FILE) is None:
        return {}
    bundle = hub.read_text(at.repo, at.revision, SIGNATURE_FILE).encode()
    try:
        found = verify_bundle(bundle, by.policy, at.repo.partition("/")[0])
        kept = found.files
    except BadSignature:
        return {}
    if (found.signer.key and key_digest(found.signer.key)) != by.public:
        return {}
    # That of the pull request, if it is as good: none is like another.
    previous = None
    for pull in open_pull_requests(hub, at.repo, author=hub.account()):
        there = hub.at_commit(at.repo, pull.reference)
        if pull.title == title and there.file(SIGNATURE_FILE) is not None:
            previous = hub.read_text(at.repo, there.revision, SIGNATURE_FILE).encode()
    return {SIGNATURE_FILE: sign_files(by, at.repo, files, previous, kept)}
