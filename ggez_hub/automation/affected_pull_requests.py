"""Pull requests on a hub that mark published merges as affected, by a tag and a notice in the card, or no longer."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence

from ggez_hub.automation.findings import as_code
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
NAMED = re.compile(r"^> - `([^`@]+)", re.MULTILINE)
BODY = """\
Since this model was published:

{causes}

This marks its card: the tag `{tag}`, and a notice above the text. Weights and lock stay as they are.
{unsigned}Close it if it is wrong; it is not opened again.
"""
LIFTED = """\
Nothing is wrong any longer with what this model was made of:

{causes}

This takes the mark off its card: the tag `{tag}`, and the notice above the text.
{unsigned}Close it if it is wrong; it is not opened again.
"""
UNSIGNED = f"`{SIGNATURE_FILE}` is of the card as it was: sign the files again after the merge.\n"


def propose_mark(merge: AffectedMerge, hub: Hub, by: SigningKey | None = None) -> Proposal:
    """Open or update the pull request that marks a merge, or lifts its mark; nothing is opened twice.

    A merge whose card `by` signed as it is is signed anew. Raises GgezError for a card that cannot be
    marked, or that others have marked, and what the client raises.
    """
    at = head_of(hub, merge.repo)
    text = hub.read_text(at.repo, at.revision, CARD_NAME)
    causes = _marked_for(text, merge.causes) if merge.is_lifted else merge.causes
    what = "Lift the mark: affected no longer" if merge.is_lifted else "Mark as affected"
    title = f"{what} by {', '.join(cause.repo for cause in causes)}"
    changed = marked_card(text, () if merge.is_lifted else causes)
    files: dict[str, Content] = {CARD_NAME: changed.encode()}
    files |= _signed_again(hub, at, title, text, files, by)
    is_unsigned = at.file(SIGNATURE_FILE) is not None and SIGNATURE_FILE not in files
    body = (LIFTED if merge.is_lifted else BODY).format(
        causes=_listed(causes), tag=AFFECTED_TAG, unsigned=UNSIGNED if is_unsigned else ""
    )
    if at.file(CARD_NAME) and files[CARD_NAME] == text.encode():
        return Proposal("accepted", f"{hub.page(at.repo)}/tree/main", None)
    return propose(hub, at.repo, files, title, body, parent=at.revision, once=True)


def marked_card(text: str, causes: Sequence[Cause]) -> str:
    """A card with the tag and the notice, or without causes neither; one that has the same stays as it is.

    Raises GgezError.
    """
    card = CardText.of(text, CARD_NAME)
    head = text.removesuffix(card.prose)
    if not head.endswith("\n"):  # A card without prose may end with its front matter.
        head += "\n\n"
    try:
        tags = load_mapping(card.front_matter, CARD_NAME).get("tags")
        if not isinstance(tags, list):
            raise GgezError(f"{CARD_NAME} has no list of `tags`")
        if (AFFECTED_TAG in tags) != bool(causes):
            others = [tag for tag in tags if tag != AFFECTED_TAG]
            wanted = [*others, AFFECTED_TAG] if causes else others
            front = with_values(card.front_matter, {("tags",): wanted})
            head = head.replace(card.front_matter, front, 1)
    except (ValueError, KeyError) as problem:
        raise GgezError(
            f"the front matter of {CARD_NAME} cannot be changed: {problem}"
        ) from problem
    if not causes:
        return head + NOTICE.sub("", card.prose)
    notice = (
        f"{BEGIN}\n> **Affected.** Do not use this model for anything new:\n>\n"
        + "".join(f"> {line}\n" for line in _listed(causes).splitlines())
        + f"{END}\n\n"
    )
    return head + notice + NOTICE.sub("", card.prose)


def _marked_for(text: str, causes: Sequence[Cause]) -> list[Cause]:
    """Those of `causes` that the mark of a card names.

    Raises GgezError for a mark that is not from here, or of what the index does not know any longer.
    """
    notice = NOTICE.search(CardText.of(text, CARD_NAME).prose)
    if notice is None:
        raise GgezError(f"its card has the tag {AFFECTED_TAG} without the notice: others gave it")
    named = {repo.lower() for repo in NAMED.findall(notice[0])}
    if unknown := sorted(named - {cause.repo.lower() for cause in causes}):
        raise GgezError(f"its mark is of {unknown[0]}, which the index does not name any longer")
    return [cause for cause in causes if cause.repo.lower() in named]


def _listed(causes: Sequence[Cause]) -> str:
    """Each ingredient on a line, a stranger's text as code."""
    return "\n".join(
        f"- {as_code(f'{c.repo}@{c.revision[:12]}' if c.revision else c.repo)} "
        + (f"was yanked: {as_code(c.reason)}" if c.state == "yanked" else c.reason or c.status)
        for c in causes
    )


def _signed_again(
    hub: Hub,
    at: RepoAtCommit,
    title: str,
    text: str,
    files: dict[str, Content],
    by: SigningKey | None,
) -> dict[str, Content]:
    """The signature with the changed files, where `by` made the one that is there, and it holds.

    `text` is the card as it is: one that was changed since it was signed is not signed now.
    """
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
    if kept.get(CARD_NAME) != hashlib.sha256(text.encode()).hexdigest():
        return {}
    # That of the pull request, if it is as good: none is like another.
    previous = None
    for pull in open_pull_requests(hub, at.repo, author=hub.account()):
        there = hub.at_commit(at.repo, pull.reference)
        if pull.title == title and there.file(SIGNATURE_FILE) is not None:
            previous = hub.read_text(at.repo, there.revision, SIGNATURE_FILE).encode()
    return {SIGNATURE_FILE: sign_files(by, at.repo, files, previous, kept)}
