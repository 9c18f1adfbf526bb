"""The event that started a workflow, as far as it is needed and can be trusted.

GitHub writes it to the file that GITHUB_EVENT_PATH names. Titles, bodies and branch names in it are
a stranger's text; ids, numbers and shas are GitHub's.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import Field, ValidationError

from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel

SHA = r"^[0-9a-f]{40}$"


class BadEvent(GgezError):
    """The event is not the one that this step is for."""


E = TypeVar("E", bound=FrozenModel)


class User(FrozenModel, strict=False, extra="ignore"):
    """An account, by its login."""

    login: str


class Head(FrozenModel, strict=False, extra="ignore"):
    """A side of a pull request."""

    sha: str = Field(pattern=SHA)


class PullRequest(FrozenModel, strict=False, extra="ignore"):
    """A pull request: its number, and the commits on both sides."""

    number: int = Field(gt=0)
    base: Head
    head: Head
    user: User


class Comment(FrozenModel, strict=False, extra="ignore"):
    """A comment with its author's standing in the repository."""

    body: str
    author_association: str
    user: User


class Issue(FrozenModel, strict=False, extra="ignore"):
    """An issue; `pull_request` is there if it is one."""

    number: int = Field(gt=0)
    pull_request: dict[str, Any] | None = None


class WorkflowRun(FrozenModel, strict=False, extra="ignore"):
    """A run that has ended: its commit, and whether it succeeded."""

    head_sha: str = Field(pattern=SHA)
    conclusion: str | None
    name: str


class PullRequestEvent(FrozenModel, strict=False, extra="ignore"):
    """`pull_request`: opened, or new commits."""

    pull_request: PullRequest


class CommentEvent(FrozenModel, strict=False, extra="ignore"):
    """`issue_comment`: somebody wrote under an issue or a pull request."""

    issue: Issue
    comment: Comment


class RunEvent(FrozenModel, strict=False, extra="ignore"):
    """`workflow_run`: another workflow has ended."""

    workflow_run: WorkflowRun


def read_event(kind: type[E], path: Path | None = None) -> E:
    """The event of this run as `kind`; raises BadEvent if there is none or it is another."""
    place = path or Path(os.environ.get("GITHUB_EVENT_PATH", ""))
    try:
        return kind.model_validate(json.loads(place.read_text(encoding="utf-8")))
    except OSError as error:
        raise BadEvent(
            f"there is no event at {str(place)!r}",
            "GitHub sets GITHUB_EVENT_PATH; by hand, name a payload with --event FILE.",
        ) from error
    except (ValueError, ValidationError) as error:
        raise BadEvent(f"{place} is no {kind.__doc__ or kind.__name__}: {error}") from error
