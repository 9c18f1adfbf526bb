"""The event that started a workflow, read from the file that GITHUB_EVENT_PATH names.

Ids, numbers and shas in it are GitHub's; titles, bodies and branch names are a stranger's text.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel


class Event(FrozenModel, strict=False, extra="ignore"):
    """A part of an event: GitHub's payloads have hundreds of keys, of which these are read."""


class User(Event):
    """An account."""

    login: str


class Head(Event):
    """A side of a pull request."""

    sha: str = Field(pattern=r"^[0-9a-f]{40}$")


class PullRequest(Event):
    """A pull request: its number, and the commits on both sides."""

    number: int = Field(gt=0)
    base: Head
    head: Head


class Comment(Event):
    """A comment; what its author may do is asked of GitHub, not read from here."""

    body: str
    user: User


class Issue(Event):
    """An issue; one that is a pull request has `pull_request`."""

    number: int = Field(gt=0)
    pull_request: dict[str, Any] | None = None


class WorkflowRun(Event):
    """A run that has ended."""

    head_sha: str = Field(pattern=r"^[0-9a-f]{40}$")


class PullRequestEvent(Event):
    """pull_request event"""

    pull_request: PullRequest


class CommentEvent(Event):
    """issue_comment event"""

    issue: Issue
    comment: Comment


class RunEvent(Event):
    """workflow_run event"""

    workflow_run: WorkflowRun


E = TypeVar("E", bound=Event)


def read_event(kind: type[E], path: Path | None = None) -> E:
    """The event of this run; raises GgezError if there is none or it is of another kind."""
    place = path or Path(os.environ.get("GITHUB_EVENT_PATH", ""))
    try:
        return kind.model_validate(json.loads(place.read_text(encoding="utf-8")))
    except OSError as error:
        raise GgezError(
            f"there is no event at {str(place)!r}",
            "GitHub sets GITHUB_EVENT_PATH; by hand, name a payload with --event FILE.",
        ) from error
    except (ValueError, ValidationError) as error:
        raise GgezError(f"{place} is not a {kind.__doc__}: {error}") from error
