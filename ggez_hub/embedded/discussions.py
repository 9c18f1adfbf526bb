"""Discussions and pull requests: a numbered thread of events for each."""

from __future__ import annotations

import json
import secrets
import sqlite3
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, Literal, NamedTuple

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import DiscussionNotFoundError, InvalidRequestError

Status = Literal["draft", "open", "closed", "merged"]
EventKind = Literal["comment", "commit", "status-change", "title-change"]

MAX_COMMENT: Final = 65536
TITLE_LENGTH: Final = range(3, 201)
# What can be asked for in a list; a draft counts as open.
_KINDS: Final = {"all": (0, 1), "discussion": (0, 0), "pull_request": (1, 1)}
_STATUSES: Final[dict[str, tuple[Status, ...]]] = {
    "all": ("draft", "open", "closed", "merged"),
    "open": ("draft", "open"),
    "closed": ("closed", "merged"),
    "draft": ("draft",),
    "merged": ("merged",),
}
_SELECT: Final = (
    "SELECT *, (SELECT count(*) FROM events WHERE discussion = discussions.key "
    "AND kind = 'comment') AS comments FROM discussions"
)


@dataclass(frozen=True, slots=True)
class Discussion:
    """A discussion, or the pull request of the ref `refs/pr/<number>` into the branch `base`."""

    key: int
    number: int
    is_pull_request: bool
    title: str
    status: Status
    author: str
    base: str
    merge_commit: str | None
    created: int
    comments: int


class NewEvent(NamedTuple):
    """An event that is about to be recorded. `content` depends on the kind."""

    kind: EventKind
    content: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened in a discussion."""

    id: str
    kind: EventKind
    author: str
    created: int
    content: dict[str, Any]


def new_comment(text: str) -> NewEvent:
    """A comment; raises InvalidRequestError if it is empty or too long."""
    return NewEvent("comment", {"text": _check_comment(text), "hidden": False, "history": []})


def new_commit(subject: str, oid: str) -> NewEvent:
    """A commit to a pull request."""
    return NewEvent("commit", {"subject": subject, "oid": oid})


@dataclass(frozen=True, slots=True)
class NewDiscussion:
    """How a discussion begins; one with a `base` is a pull request into that branch."""

    title: str
    author: str
    events: Sequence[NewEvent]
    status: Status = "open"
    base: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", _check_title(self.title))


class Discussions:
    """The discussions of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(self, repo: RepoRecord, new: NewDiscussion, number: int) -> Discussion:
        """Begin a discussion, with a number that was taken under the repo's lock."""
        with self._database.transaction() as connection:
            (key,) = connection.execute(
                "INSERT INTO discussions "
                "(repo, number, is_pull_request, title, status, author, base) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
                (
                    repo.key,
                    number,
                    new.base is not None,
                    new.title,
                    new.status,
                    new.author,
                    new.base or "",
                ),
            ).fetchone()
            for event in new.events:
                _record(connection, key, new.author, event)
        return self.get(repo, number)

    def last_number(self, repo: RepoRecord) -> int:
        """The highest number that a discussion of a repo has."""
        query = "SELECT max(number) FROM discussions WHERE repo = ?"
        return self._database.rows(query, repo.key)[0][0] or 0

    def get(self, repo: RepoRecord, number: int) -> Discussion:
        """The discussion of that number; raises DiscussionNotFoundError."""
        row = self._database.row(f"{_SELECT} WHERE repo = ? AND number = ?", repo.key, number)
        if row is None:
            raise DiscussionNotFoundError(f"Discussion not found: {number}")
        return from_row(Discussion, row)

    def find(
        self, repo: RepoRecord, kind: str, status: str, author: str | None
    ) -> list[Discussion]:
        """The discussions of a repo, newest first.

        Raises InvalidRequestError if `kind` or `status` is not one that can be asked for.
        """
        if kind not in _KINDS or status not in _STATUSES:
            raise InvalidRequestError(
                f"'type' is one of {', '.join(_KINDS)}; 'status' one of {', '.join(_STATUSES)}"
            )
        rows = self._database.rows(
            f"{_SELECT} WHERE repo = ? AND is_pull_request BETWEEN ? AND ? "
            "AND (? IS NULL OR author = ? COLLATE NOCASE) ORDER BY number DESC",
            repo.key,
            *_KINDS[kind],
            author,
            author,
        )
        return [from_row(Discussion, row) for row in rows if row["status"] in _STATUSES[status]]

    def events(self, discussion: Discussion) -> list[Event]:
        """What happened, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM events WHERE discussion = ? ORDER BY key", discussion.key
        )
        return [_event(row) for row in rows]

    def add(self, discussion: Discussion, author: str, event: NewEvent) -> Event:
        """Add a comment or a commit."""
        with self._database.transaction() as connection:
            return _record(connection, discussion.key, author, event)

    def comment(self, discussion: Discussion, identity: str) -> Event:
        """A comment by its id; raises DiscussionNotFoundError."""
        row = self._database.row(
            "SELECT * FROM events WHERE discussion = ? AND id = ? AND kind = 'comment'",
            discussion.key,
            identity,
        )
        if row is None:
            raise DiscussionNotFoundError(f"Comment not found: {identity[:64]}")
        return _event(row)

    def edit(self, comment: Event, text: str) -> Event:
        """Give a comment another text; the old one goes into its history.

        Raises InvalidRequestError if the text is empty or too long.
        """
        updated = comment.content.get("updated", comment.created)
        old = {"text": comment.content["text"], "updated": updated}
        history = [*comment.content["history"], old]
        return self._rewrite(
            comment, {"text": _check_comment(text), "hidden": False, "history": history}
        )

    def hide(self, comment: Event, by: str) -> Event:
        """Hide a comment: nothing of its text is kept."""
        text = "This comment has been hidden"
        content = {"text": text, "hidden": True, "hidden_by": by, "history": []}
        return self._rewrite(comment, content)

    def rename(self, discussion: Discussion, author: str, title: str) -> Event:
        """Change the title; raises InvalidRequestError if it is too short or too long."""
        title = _check_title(title)
        change = NewEvent("title-change", {"from": discussion.title, "to": title})
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE discussions SET title = ? WHERE key = ?", (title, discussion.key)
            )
            return _record(connection, discussion.key, author, change)

    def set_status(
        self, discussion: Discussion, author: str, status: Status, merge_commit: str | None = None
    ) -> Event:
        """Change the status; what was merged stays merged.

        Raises InvalidRequestError if the discussion has that status, or was merged.
        """
        with self._database.transaction() as connection:
            changed = connection.execute(
                "UPDATE discussions SET status = ?, merge_commit = ? "
                "WHERE key = ? AND status NOT IN (?, 'merged')",
                (status, merge_commit, discussion.key, status),
            )
            if changed.rowcount != 1:
                raise InvalidRequestError(f"This discussion is {discussion.status} already")
            change = NewEvent("status-change", {"status": status})
            return _record(connection, discussion.key, author, change)

    def _rewrite(self, comment: Event, content: dict[str, Any]) -> Event:
        content["updated"] = int(time.time())
        self._database.write(
            "UPDATE events SET content = ? WHERE id = ?", json.dumps(content), comment.id
        )
        return replace(comment, content=content)


def _record(connection: sqlite3.Connection, discussion: int, author: str, event: NewEvent) -> Event:
    row = connection.execute(
        "INSERT INTO events (discussion, id, kind, author, content) VALUES (?, ?, ?, ?, ?) "
        "RETURNING *",
        (discussion, secrets.token_hex(12), event.kind, author, json.dumps(event.content)),
    ).fetchone()
    return _event(row)


def _event(row: sqlite3.Row) -> Event:
    event = from_row(Event, row)
    return replace(event, content=json.loads(row["content"]))


def _check_comment(text: str) -> str:
    if not text.strip() or len(text) > MAX_COMMENT:
        raise InvalidRequestError(f"A comment has 1 to {MAX_COMMENT} characters")
    return text


def _check_title(title: str) -> str:
    title = " ".join(title.split())
    if len(title) not in TITLE_LENGTH:
        raise InvalidRequestError(
            f"A title has {TITLE_LENGTH.start} to {TITLE_LENGTH.stop - 1} characters"
        )
    return title
