"""Discussions and pull requests: a numbered thread of events for each."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ggez_hub.embedded import events
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database
from ggez_hub.embedded.errors import DiscussionNotFoundError, InvalidRequestError
from ggez_hub.embedded.events import Event, NewEvent

Status = Literal["draft", "open", "closed", "merged"]

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


@dataclass(frozen=True, slots=True)
class NewDiscussion:
    """How a discussion begins; one with a `base` is a pull request into that branch."""

    title: str
    author: str
    events: Sequence[NewEvent]
    status: Status = "open"
    base: str | None = None

    def __post_init__(self) -> None:
        check_title(self.title)


class Discussions:
    """The discussions of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open(
        self, repo: RepoRecord, opening: NewDiscussion, number: int | None = None
    ) -> Discussion:
        """Begin a discussion, or a pull request for which the number was taken under the repo's lock."""
        with self._database.transaction() as connection:
            (free,) = connection.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM discussions WHERE repo = ?", (repo.key,)
            ).fetchone()
            chosen = free if number is None else number
            key = connection.execute(
                "INSERT INTO discussions "
                "(repo, number, is_pull_request, title, status, author, base) "
                "VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
                (
                    repo.key,
                    chosen,
                    opening.base is not None,
                    check_title(opening.title),
                    opening.status,
                    opening.author,
                    opening.base or "",
                ),
            ).fetchone()["key"]
            for event in opening.events:
                events.record(connection, key, opening.author, event)
        return self.get(repo, chosen)

    def last_number(self, repo: RepoRecord) -> int:
        """The highest number that a discussion of a repo has."""
        row = self._database.row(
            "SELECT coalesce(max(number), 0) AS number FROM discussions WHERE repo = ?", repo.key
        )
        return int(row["number"]) if row else 0

    def get(self, repo: RepoRecord, number: int) -> Discussion:
        """The discussion of that number.

        Raises:
            DiscussionNotFoundError: there is none.
        """
        row = self._database.row(f"{_SELECT} WHERE repo = ? AND number = ?", repo.key, number)
        if row is None:
            raise DiscussionNotFoundError(f"Discussion not found: {number}")
        return _discussion(row)

    def find(
        self, repo: RepoRecord, kind: str, status: str, author: str | None
    ) -> list[Discussion]:
        """The discussions of a repo, newest first.

        Raises:
            InvalidRequestError: `kind` or `status` is not one that can be asked for.
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
        found = map(_discussion, rows)
        return [discussion for discussion in found if discussion.status in _STATUSES[status]]

    def events(self, discussion: Discussion) -> list[Event]:
        """What happened, oldest first."""
        rows = self._database.rows(
            "SELECT * FROM events WHERE discussion = ? ORDER BY key", discussion.key
        )
        return [events.load(row) for row in rows]

    def add(self, discussion: Discussion, author: str, event: NewEvent) -> Event:
        """Add a comment or a commit."""
        with self._database.transaction() as connection:
            return events.record(connection, discussion.key, author, event)

    def comment(self, discussion: Discussion, identity: str) -> Event:
        """A comment by its id.

        Raises:
            DiscussionNotFoundError: there is no such comment.
        """
        row = self._database.row(
            "SELECT * FROM events WHERE discussion = ? AND id = ? AND kind = 'comment'",
            discussion.key,
            identity,
        )
        if row is None:
            raise DiscussionNotFoundError(f"Comment not found: {identity[:64]}")
        return events.load(row)

    def rewrite(self, event: Event, content: dict[str, object]) -> Event:
        """Replace the content of an event."""
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE events SET content = ? WHERE id = ?", (json.dumps(content), event.id)
            )
        return Event(event.id, event.kind, event.author, event.created, content)

    def rename(self, discussion: Discussion, author: str, title: str) -> Event:
        """Change the title.

        Raises:
            InvalidRequestError: it is too short or too long.
        """
        title = check_title(title)
        change = NewEvent("title-change", {"from": discussion.title, "to": title})
        with self._database.transaction() as connection:
            connection.execute(
                "UPDATE discussions SET title = ? WHERE key = ?", (title, discussion.key)
            )
            return events.record(connection, discussion.key, author, change)

    def set_status(
        self, discussion: Discussion, author: str, status: Status, merge_commit: str | None = None
    ) -> Event:
        """Change the status; what was merged stays merged.

        Raises:
            InvalidRequestError: the discussion has that status, or was merged.
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
            return events.record(connection, discussion.key, author, change)


def check_title(title: str) -> str:
    """A title without the blanks around it.

    Raises:
        InvalidRequestError: it is too short or too long.
    """
    title = " ".join(title.split())
    if len(title) not in TITLE_LENGTH:
        raise InvalidRequestError(
            f"A title has {TITLE_LENGTH.start} to {TITLE_LENGTH.stop - 1} characters"
        )
    return title


def _discussion(row: sqlite3.Row) -> Discussion:
    return Discussion(
        key=row["key"],
        number=row["number"],
        is_pull_request=bool(row["is_pull_request"]),
        title=row["title"],
        status=row["status"],
        author=row["author"],
        base=row["base"],
        merge_commit=row["merge_commit"],
        created=row["created"],
        comments=row["comments"],
    )
