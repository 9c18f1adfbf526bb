"""Who may start an evaluation, and when a contribution is merged automatically."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.automation.event import CommentEvent
from ggez_hub.automation.findings import Findings
from ggez_hub.automation.github import GitHub
from ggez_hub.errors import GgezError

COMMAND = re.compile(r"^/ggez evaluate(?:\s+(?P<sha>[0-9a-f]{7,40}))?\s*$")
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
    reasons = [f"it has {len(findings.errors)} errors"] if findings.errors else []
    reasons += by_hand
    if not github.green(sha, frozenset(NEEDED)):
        reasons.append(f"{' and '.join(NEEDED.values())} have not both succeeded for {sha[:12]}")
    if not github.approved(number, sha):
        reasons.append(f"nobody who may decide has approved {sha[:12]}")
    return reasons
