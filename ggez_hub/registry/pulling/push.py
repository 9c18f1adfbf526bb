"""A pulled result to a repository of its own: weights, card and lock in one commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.hub import Hub
from ggez_hub.hub.proposals import Proposal, propose
from ggez_hub.hub.publishing import (
    Content,
    commit,
    ensure_repo,
    gate,
    head_of,
    require_token,
    tag_version,
)
from ggez_hub.registry.forms import get_form
from ggez_hub.registry.licences import Obligations, may_push
from ggez_hub.registry.lock import Differs, differences
from ggez_hub.registry.places import LOCK_NAME
from ggez_hub.registry.pulling.pull import Pulled


@dataclass(frozen=True)
class Pushed:
    """Where a result went, which files were new there, and its version tag.

    `proposal` where it is a pull request, which has no tag.
    """

    repo: str
    revision: str
    changed: tuple[str, ...]
    tag: str | None
    proposal: Proposal | None = None


def push(
    pulled: Pulled,
    asked: Obligations,
    hub: Hub,
    repo: str,
    *,
    beside: Mapping[str, Content] | None = None,
    private: bool = False,
    pr: bool = False,
) -> Pushed:
    """Publish a pulled folder; repeated, it sends nothing that is there already.

    `beside` are files that go with it, as its scores and their evidence. With `pr` a pull request is
    opened instead, or brought up to date, and nothing is tagged.

    The folder has to be what its lock says. A result of gated inputs is gated. Raises MayNotPush
    where the licences do not allow it, Differs, NoToken, Refused, and what the client raises.
    """
    require_token(hub)
    require_passing_on(pulled.lock.resolution.form, asked)
    if found := differences(pulled.lock, pulled.folder, digests=True):
        raise Differs(
            f"{pulled.folder} is not what its lock says:\\n  " + "\\n  ".join(found),
            "Pull it again into another folder.",
        )
    model = pulled.model
    files: dict[str, Content] = dict(beside or {})
    files |= {p.relative_to(model).as_posix(): p for p in _files(model)}
    files[LOCK_NAME] = pulled.folder / LOCK_NAME
    resolution = pulled.lock.resolution
    message = f"Publish the {resolution.region} {resolution.form} model"
    if pr:
        proposal = propose(hub, repo, files, message, "By `ggez-hub pull --push`.")
        return Pushed(repo, head_of(hub, repo).revision, (), None, proposal)
    ensure_repo(hub, repo, private=private)
    if any(pinned.gated for pinned in resolution.inputs):
        # Before the weights: nobody reads them in between.
        gate(hub, repo)
    done = commit(hub, repo, files, message)
    tag = tag_version(hub, repo, done.revision)
    return Pushed(repo, done.revision, done.changed, tag)


def require_passing_on(form: str, asked: Obligations) -> None:
    """Raise MayNotPush unless the licences of the weights in a result of `form` allow it.

    An adapter form holds nothing of the base.
    """
    holds_base = "base" in get_form(form).parts
    terms = tuple(term for term in asked.terms if holds_base or term.role != "base")
    may_push(replace(asked, terms=terms))


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file()]
