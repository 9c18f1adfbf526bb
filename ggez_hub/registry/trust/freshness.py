"""How fresh an index is: the newest that was seen of each hub, and the day on which one expires.

A hub that takes an index back would give out adapters that were yanked since. The number and dates
are in the signed statement of the index; what is not signed has none.
"""

from __future__ import annotations

import datetime
from contextlib import suppress
from pathlib import Path

from pydantic import ValidationError

from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.extras import require
from ggez_hub.hub import Hub, NotInCache, RepoAtCommit
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.trust.checks import required_by, verified_statement
from ggez_hub.registry.trust.memory import SeenIndex, name_of, remember, seen_index
from ggez_hub.registry.trust.own_key import own_signing_key
from ggez_hub.registry.trust.policy import read_policy
from ggez_hub.registry.trust.signing import SigningKey, sign_files, signs_already
from ggez_hub.registry.trust.statement import (
    SIGNATURE_FILE,
    BadSignature,
    Freshness,
    Verified,
    payload_of,
)

LIFETIME = datetime.timedelta(days=60)
ALLOW = "Ask somebody what happened to the hub; --allow-stale takes this index all the same."


class UntrustedIndex(GgezError):
    """An index is not signed as it has to be, older than one that was seen before, or expired."""


def require_fresh(hub: Hub, revision: str, sha256: str | None) -> str | None:
    """Who signed the index of a hub at a commit, whose file has this sha256; None if nobody did.

    It is remembered. Raises UntrustedIndex for one that is not signed as it has to be, or that is
    older than what was seen before, is not signed although that was, or expired, unless the hub is
    asked to `allow_stale`.
    """
    policy = read_policy()
    if required_by(hub, policy) == "off":
        return None
    bundle = index_signature(hub, revision)
    try:
        found = verified_statement(hub, INDEX_REPO, bundle, policy)
        if found is not None and found.files.get(INDEX_FILE) != sha256:
            raise BadSignature(f"has a signature of another {INDEX_FILE}")
    except BadSignature as problem:
        raise UntrustedIndex(f"{name_of(hub)} {problem.message}", problem.hint) from problem
    before, now = seen_index(hub), _state(found, revision)
    if stale := _problem(before, now, is_signed=bundle is not None):
        if not hub.allow_stale:
            raise UntrustedIndex(f"{name_of(hub)} {stale}", ALLOW)
    elif now is not None and (hub.folder is not None or not hub.temporary):
        remember(hub, now)
    return None if found is None else found.signer.name


def index_signature(hub: Hub, revision: str) -> bytes | None:
    """The signature of the index at a commit, not verified; None without one."""
    from huggingface_hub.errors import EntryNotFoundError

    # The client asks again for what a commit does not have, and its cache is of all hubs: another one
    # may have said so of this commit.
    with suppress(NotInCache):
        if hub.listing(INDEX_REPO, revision, "dataset").file(SIGNATURE_FILE) is None:
            return None
    try:
        return hub.read_text(INDEX_REPO, revision, SIGNATURE_FILE, "dataset").encode()
    except (EntryNotFoundError, NotInCache):
        return None


def unchecked_signatures(hub: Hub, resolution: Resolution) -> str | None:
    """What is signed, and was not checked for want of the extra `sign`, in one line; else None."""
    try:
        require("sign", "model_signing")
    except MissingExtra as missing:
        if required_by(hub, read_policy()) == "off":
            return None
        signed = [
            adapter.source.repo
            for adapter in resolution.adapters
            if hub.at_commit(adapter.source.repo, adapter.source.revision).file(SIGNATURE_FILE)
        ]
        cards = (adapter.card for adapter in resolution.adapters)
        if any(c.repo_type == "dataset" and index_signature(hub, c.revision) for c in cards):
            signed.append("the index")
        if signed:
            return f"the signatures of {', '.join(signed)} were not checked: {missing.hint}"
    return None


def sign_index(by: SigningKey | None, index: Path, hub: Hub, head: RepoAtCommit) -> bytes | None:
    """The signature of an index file that follows the one at the head of its data set.

    The one that is there, if nothing changed and less than half of its life is over. Raises GgezError
    where the index is signed and nobody signs now. An embedded hub's own key signs where `by` is None.
    """
    by = by or own_signing_key(hub)
    there = head.file(SIGNATURE_FILE) is not None
    previous = index_signature(hub, head.revision) if there else None
    if by is None:
        if there:
            raise signs_already(INDEX_REPO)
        return None
    seen, before = seen_index(hub), None
    if previous is not None:
        with suppress(ValidationError, BadSignature, KeyError):
            before = Freshness.model_validate(payload_of(previous)[1]["predicate"]["ggez"])
    now = datetime.datetime.now(datetime.UTC).replace(microsecond=0)
    file = head.file(INDEX_FILE)
    same = file is not None and file.matches(index)
    if same and before and before.expires and before.expires - now > LIFETIME / 2:
        return previous
    # Greater than any that a reader has seen, also after the hub was taken back.
    number = 1 + max((i.number or 0 for i in (before, seen) if i is not None), default=0)
    return sign_files(by, INDEX_REPO, {INDEX_FILE: index}, number=number, expires=now + LIFETIME)


def _state(found: Verified | None, revision: str) -> SeenIndex | None:
    stated = None if found is None else found.freshness
    if stated is None or stated.number is None or stated.expires is None:
        return None
    return SeenIndex(
        number=stated.number, signed=stated.signed, expires=stated.expires, revision=revision
    )


def _problem(before: SeenIndex | None, now: SeenIndex | None, *, is_signed: bool) -> str | None:
    if now is None and before is not None:
        what = "is not signed now"
        if is_signed:
            what = f"has a signature that cannot be checked here ({MissingExtra('', 'sign').hint}?)"
        return f"{what}; {before} was, and was seen here"
    if now is None:
        return None
    if before is not None and now.number < before.number:
        return f"is {now}; {before} was seen here before"
    if now.is_expired:
        return f"is {now}, and expired on {now.expires:%Y-%m-%d}: yanks since are unknown"
    return None
