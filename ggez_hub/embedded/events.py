"""What happens in a discussion: comments, commits, changes of status and title."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from dataclasses import dataclass
from typing import Any, Final, Literal

from ggez_hub.embedded.errors import InvalidRequestError

EventKind = Literal["comment", "commit", "status-change", "title-change"]

MAX_COMMENT: Final = 65536
HIDDEN: Final = "This comment has been hidden"


@dataclass(frozen=True, slots=True)
class NewEvent:
    """An event that is about to be recorded. `content` depends on the kind."""

    kind: EventKind
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it was recorded."""

    id: str
    kind: EventKind
    author: str
    created: int
    content: dict[str, Any]


def commented(text: str) -> NewEvent:
    """A comment.

    Raises:
        InvalidRequestError: it is empty or too long.
    """
    return NewEvent("comment", {"text": checked(text), "hidden": False, "history": []})


def committed(subject: str, oid: str) -> NewEvent:
    """A commit to a pull request."""
    return NewEvent("commit", {"subject": subject, "oid": oid})


def edited(event: Event, text: str) -> dict[str, Any]:
    """The content of a comment with a new text; the old one goes into its history.

    Raises:
        InvalidRequestError: the text is empty or too long.
    """
    old = {"text": event.content["text"], "updated": event.content.get("updated", event.created)}
    return {
        "text": checked(text),
        "hidden": False,
        "history": [*event.content["history"], old],
        "updated": int(time.time()),
    }


def hidden(by: str) -> dict[str, Any]:
    """The content of a comment that was hidden: nothing of its text is kept."""
    return {
        "text": HIDDEN,
        "hidden": True,
        "hidden_by": by,
        "history": [],
        "updated": int(time.time()),
    }


def checked(text: str) -> str:
    """The text of a comment.

    Raises:
        InvalidRequestError: it is empty or too long.
    """
    if not text.strip() or len(text) > MAX_COMMENT:
        raise InvalidRequestError(f"A comment has 1 to {MAX_COMMENT} characters")
    return text


def record(connection: sqlite3.Connection, discussion: int, author: str, event: NewEvent) -> Event:
    """Write an event into a transaction."""
    identity = secrets.token_hex(12)
    connection.execute(
        "INSERT INTO events (discussion, id, kind, author, content) VALUES (?, ?, ?, ?, ?)",
        (discussion, identity, event.kind, author, json.dumps(event.content)),
    )
    row = connection.execute("SELECT * FROM events WHERE id = ?", (identity,)).fetchone()
    return load(row)


def load(row: sqlite3.Row) -> Event:
    """The event of a row."""
    content = json.loads(row["content"])
    return Event(row["id"], row["kind"], row["author"], row["created"], content)
