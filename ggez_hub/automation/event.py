"""The event that started a workflow, read from the file that GITHUB_EVENT_PATH names.

Ids, numbers and shas in it are GitHub's; titles, bodies and branch names are a stranger's text.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any, TypeVar

from pydantic import AliasPath, Field, ValidationError

from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel

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
