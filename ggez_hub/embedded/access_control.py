"""Who may see, read and write which repo: the caller's rights, and access to gated repos."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import (
    AlreadyExistsError,
    InvalidRequestError,
    PermissionDeniedError,
)

Scope = Literal["read", "write"]
Role = Literal["read", "write", "admin"]
GrantStatus = Literal["pending", "accepted", "rejected"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ROLES: Final[tuple[Role, ...]] = get_args(Role)
GRANT_STATUSES: Final[tuple[GrantStatus, ...]] = get_args(GrantStatus)


@dataclass(frozen=True, slots=True)
class Organization:
    """An organisation as its members see it."""

    name: str
    fullname: str
    role: Role


@dataclass(frozen=True, slots=True)
class Principal:
    """The caller of a request: an account with the scope of the token that was shown."""

    key: int
    name: str
    fullname: str
    scope: Scope
    admin: bool
    orgs: tuple[Organization, ...]

    @property
    def namespaces(self) -> tuple[str, ...] | None:
        """The namespaces, in lower case, whose private repos exist for the caller; None for all."""
        if self.admin:
            return None
        return (self.name.lower(), *(org.name.lower() for org in self.orgs))

    def belongs_to(self, namespace: str) -> bool:
        """Whether the namespace is the caller's own or of one of their organisations."""
        return self.namespaces is None or namespace.lower() in self.namespaces

    def may_write(self, namespace: str) -> bool:
        """Whether the caller may change repos of the namespace with this token."""
        wanted = namespace.lower()
        return self.scope == "write" and (
            self.admin
            or wanted == self.name.lower()
            or any(org.name.lower() == wanted and org.role != "read" for org in self.orgs)
        )


def may_see(principal: Principal | None, repo: RepoRecord) -> bool:
    """Whether a repo exists for the caller, who is None without a token."""
    return not repo.private or (principal is not None and principal.belongs_to(repo.namespace))


def require_write_scope(principal: Principal) -> None:
    """Raise PermissionDeniedError if the token may only read."""
    if principal.scope != "write":
        raise PermissionDeniedError("This token has the scope 'read'; one with 'write' is needed")


def require_write(principal: Principal, namespace: str) -> None:
    """Raise PermissionDeniedError unless the caller may change repos of `namespace`."""
    require_write_scope(principal)
    if not principal.may_write(namespace):
        raise PermissionDeniedError(
            f"You don't have the rights to write to the namespace {namespace!r}"
        )


@dataclass(frozen=True, slots=True)
class AccessRequest:
    """A user's request to read a gated repo."""

    user: str
    fullname: str
    status: GrantStatus
    asked: int


class Grants:
    """The requests for access to the gated repos of a store, and the answers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def may_read(self, principal: Principal | None, repo: RepoRecord) -> bool:
        """Whether the caller may read the files of a repo that they see."""
        if repo.gated is None:
            return True
        return principal is not None and (
            principal.belongs_to(repo.namespace) or self._status(repo, principal.key) == "accepted"
        )

    def ask(self, repo: RepoRecord, principal: Principal) -> None:
        """Ask for access, which `gated: auto` grants at once; an earlier request stays as it is."""
        self._database.write(
            "INSERT OR IGNORE INTO access (repo, account, status) VALUES (?, ?, ?)",
            repo.key,
            principal.key,
            "accepted" if repo.gated == "auto" else "pending",
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
        return [from_row(AccessRequest, row) for row in rows]

    def grant(self, repo: RepoRecord, user: str) -> None:
        """Give access to a user, who need not have asked for it.

        Raises AlreadyExistsError, InvalidRequestError if there is no such user.
        """
        given = self._database.write(
            "INSERT INTO access (repo, account, status) VALUES (?, ?, 'accepted') "
            "ON CONFLICT DO UPDATE SET status = 'accepted' WHERE status != 'accepted'",
            repo.key,
            self._account(user),
        )
        if given != 1:
            raise AlreadyExistsError(f"{user!r} has access already")

    def decide(self, repo: RepoRecord, user: str, status: GrantStatus) -> None:
        """Change the status of a request.

        Raises AlreadyExistsError, InvalidRequestError if there is no such user, or they have not
        asked.
        """
        account = self._account(user)
        before = self._status(repo, account)
        if before is None:
            raise InvalidRequestError(f"{user!r} has not asked for access")
        if before == status:
            raise AlreadyExistsError(f"The request of {user!r} is {status} already")
        self._database.write(
            "UPDATE access SET status = ? WHERE repo = ? AND account = ?",
            status,
            repo.key,
            account,
        )

    def _status(self, repo: RepoRecord, account: int) -> GrantStatus | None:
        row = self._database.row(
            "SELECT status FROM access WHERE repo = ? AND account = ?", repo.key, account
        )
        return row["status"] if row else None

    def _account(self, user: str) -> int:
        row = self._database.row("SELECT key FROM accounts WHERE name = ? AND kind = 'user'", user)
        if row is None:
            raise InvalidRequestError(f"there is no user {user!r}")
        return int(row["key"])
