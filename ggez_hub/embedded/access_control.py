"""Who may read the files of gated repos: requests for access, and what became of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ggez_hub.embedded.accounts import Principal
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database
from ggez_hub.embedded.errors import AlreadyExistsError, InvalidRequestError

GrantStatus = Literal["pending", "accepted", "rejected"]

GRANT_STATUSES: Final[tuple[GrantStatus, ...]] = get_args(GrantStatus)


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A user's request to read a gated repo."""

    user: str
    fullname: str
    status: GrantStatus
    asked: int


class Grants:
    """The requests for access to the repos of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def accepted(self, repo: RepoRecord, principal: Principal) -> bool:
        """Whether a user was granted access."""
        row = self._database.row(
            "SELECT 1 FROM access WHERE repo = ? AND account = ? AND status = 'accepted'",
            repo.key,
            principal.key,
        )
        return row is not None

    def ask(self, repo: RepoRecord, principal: Principal) -> None:
        """Ask for access; a repo that is gated `auto` grants it at once. What was asked before stands."""
        status = "accepted" if repo.gated == "auto" else "pending"
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO access (repo, account, status) VALUES (?, ?, ?)",
                (repo.key, principal.key, status),
            )

    def find(self, repo: RepoRecord, status: GrantStatus) -> list[AccessRequest]:
        """The requests of a status, oldest first."""
        rows = self._database.rows(
            "SELECT name AS user, fullname, status, asked FROM access "
            "JOIN accounts ON accounts.key = account "
            "WHERE repo = ? AND status = ? ORDER BY asked, name",
            repo.key,
            status,
        )
        return [AccessRequest(**dict(row)) for row in rows]

    def grant(self, repo: RepoRecord, user: str) -> None:
        """Give a user access who has not asked for it.

        Raises:
            AlreadyExistsError: they have access.
            InvalidRequestError: there is no such user.
        """
        account = self._account(user)
        with self._database.transaction() as connection:
            given = connection.execute(
                "INSERT INTO access (repo, account, status) VALUES (?, ?, 'accepted') "
                "ON CONFLICT DO UPDATE SET status = 'accepted' WHERE status != 'accepted'",
                (repo.key, account),
            )
            if given.rowcount != 1:
                raise AlreadyExistsError(f"{user!r} has access already")

    def decide(self, repo: RepoRecord, user: str, status: GrantStatus) -> None:
        """Change what became of a request.

        Raises:
            InvalidRequestError: there is no such user, or they have not asked.
            AlreadyExistsError: the request has that status.
        """
        account = self._account(user)
        with self._database.transaction() as connection:
            row = connection.execute(
                "SELECT status FROM access WHERE repo = ? AND account = ?", (repo.key, account)
            ).fetchone()
            if row is None:
                raise InvalidRequestError(f"{user!r} has not asked for access")
            if row["status"] == status:
                raise AlreadyExistsError(f"The request of {user!r} is {status} already")
            connection.execute(
                "UPDATE access SET status = ? WHERE repo = ? AND account = ?",
                (status, repo.key, account),
            )

    def _account(self, user: str) -> int:
        row = self._database.row("SELECT key FROM accounts WHERE name = ? AND kind = 'user'", user)
        if row is None:
            raise InvalidRequestError(f"there is no user {user!r}")
        return int(row["key"])
