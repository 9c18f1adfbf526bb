"""The event that started a workflow, read from the file that GITHUB_EVENT_PATH names.

Ids, numbers and shas in it are GitHub's; titles, bodies and branch names are a stranger's text.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasPath, Field, ValidationError

from ggez_hub.automation.findings import Findings
from ggez_hub.automation.github import GitHub
from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.quantities import counted
from ggez_hub.validation_errors import listed

SHA = r"^[0-9a-f]{40}$"


class Event(FrozenModel, strict=False, extra="ignore"):
    """A part of an event: GitHub's payloads have hundreds of keys, of which these are read."""


class PullRequestEvent(Event):
    """pull_request event"""

    number: int = Field(gt=0, validation_alias=AliasPath("pull_request", "number"))
    base: str = Field(pattern=SHA, validation_alias=AliasPath("pull_request", "base", "sha"))
    head: str = Field(pattern=SHA, validation_alias=AliasPath("pull_request", "head", "sha"))


class CommentEvent(Event):
    """issue_comment event"""

    number: int = Field(gt=0, validation_alias=AliasPath("issue", "number"))
    # Of an issue that is a pull request.
    pull_request: Any = Field(None, validation_alias=AliasPath("issue", "pull_request"))
    body: str = Field(validation_alias=AliasPath("comment", "body"))
    # What the author may do is asked of GitHub, not read from here.
    author: str = Field(validation_alias=AliasPath("comment", "user", "login"))


class RunEvent(Event):
    """workflow_run event"""

    head_sha: str = Field(pattern=SHA, validation_alias=AliasPath("workflow_run", "head_sha"))


E = TypeVar("E", bound=Event)
BY_HAND = "GitHub sets GITHUB_EVENT_PATH; by hand, name a payload with --event FILE."


def read_event(kind: type[E], path: Path | None = None) -> E:
    """The event of this run; raises GgezError if there is none or it is of another kind."""
    named = path or os.environ.get("GITHUB_EVENT_PATH")
    if not named:
        raise GgezError("there is no event: GITHUB_EVENT_PATH is not set", BY_HAND)
    place = Path(named)
    try:
        return kind.model_validate(json.loads(place.read_text(encoding="utf-8")))
    except OSError as error:
        raise GgezError(f"there is no event at {str(place)!r}", BY_HAND) from error
    except ValidationError as error:
        raise GgezError(f"{place} is not a {kind.__doc__}:\n{listed(error)}") from error
    except ValueError as error:
        raise GgezError(f"{place} is not JSON: {error}") from error


COMMAND = re.compile(r"^/ggez evaluate(?:\s+(?P<sha>[0-9a-f]{7,40}))?\s*\Z")
# The workflows whose newest runs must have succeeded for the commit, by their files.
NEEDED = {".github/workflows/ci.yml": "CI", ".github/workflows/contribution.yml": "Contribution"}


@dataclass(frozen=True)
class Order:
    """An evaluation that may start: the pull request, and the commit that it is of."""

    number: int
    base: str
    head: str


def order(event: CommentEvent, github: GitHub) -> Order:
    """The evaluation that a comment asks for; raises GgezError if its author may not.

    `/ggez evaluate SHA` names the commit that its author has looked at; without one it is the current
    head. Whatever is pushed later, the evaluation is of that commit.
    """
    number = event.number
    command = COMMAND.match(event.body.strip())
    if event.pull_request is None or command is None:
        raise GgezError("this comment is not `/ggez evaluate` under a pull request")
    if not github.may_decide(event.author):
        raise GgezError(
            f"{event.author} may not start an evaluation here",
            "Somebody with write access writes `/ggez evaluate` under the pull request.",
        )
    base, head = github.head(number)
    if command["sha"] and not head.startswith(command["sha"]):
        raise GgezError(
            f"pull request {number} is at {head[:12]}, not at {command['sha']} any more",
            f"Look at what changed, then write `/ggez evaluate {head[:12]}`.",
        )
    return Order(number, base, head)


def reasons_to_wait(
    number: int, sha: str, findings: Findings, by_hand: Sequence[str], github: GitHub
) -> list[str]:
    """Why a contribution is not merged automatically now; none if it may be."""
    reasons = [f"it has {counted(len(findings.errors), 'error')}"] if findings.errors else []
    reasons += by_hand
    if not github.green(sha, frozenset(NEEDED)):
        reasons.append(f"{' and '.join(NEEDED.values())} have not both succeeded for {sha[:12]}")
    if not github.approved(number, sha):
        reasons.append(f"nobody who may decide has approved {sha[:12]}")
    return reasons
