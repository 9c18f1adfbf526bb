"""Who may do what: users, organisations, tokens."""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from ggez_hub.atomic_files import write_file
from ggez_hub.embedded.database import Database
from ggez_hub.embedded.errors import AuthenticationError, InvalidRequestError
from ggez_hub.embedded.names import check_namespace

Scope = Literal["read", "write"]
Role = Literal["read", "write", "admin"]

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)
ROLES: Final[tuple[Role, ...]] = get_args(Role)
_ALPHABET: Final = string.ascii_letters + string.digits


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


class Accounts:
    """The accounts and tokens of one store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add_user(
        self,
        name: str,
        fullname: str = "",
        orgs: Mapping[str, str] | None = None,
        *,
        admin: bool = False,
    ) -> None:
        """Add a user, or change one, and give them a role in organisations, which are added if missing.

        Raises:
            InvalidRequestError: the name is malformed, reserved, or taken by an organisation; or there
                is no such role.
        """
        check_namespace(name)
        for org, role in (orgs or {}).items():
            if role not in ROLES:
                raise InvalidRequestError(f"{role!r} is not a role: use one of {', '.join(ROLES)}")
            self.add_org(org)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT INTO accounts (name, kind, fullname, admin) VALUES (?, 'user', ?, ?) "
                "ON CONFLICT DO UPDATE SET fullname = excluded.fullname, admin = excluded.admin "
                "WHERE kind = 'user'",
                (name, fullname or name, admin),
            )
            user = connection.execute(
                "SELECT key FROM accounts WHERE name = ? AND kind = 'user'", (name,)
            ).fetchone()
            if user is None:
                raise InvalidRequestError(f"{name!r} is an organisation")
            for org, role in (orgs or {}).items():
                connection.execute(
                    "INSERT OR REPLACE INTO members (org, user, role) "
                    "SELECT key, ?, ? FROM accounts WHERE name = ? AND kind = 'org'",
                    (user["key"], role, org),
                )

    def add_org(
        self, name: str, fullname: str = "", *, default_private: bool | None = None
    ) -> None:
        """Add an organisation, or change what is given of one; a user of that name is left as they are.

        `default_private` says whether new repos are private where nothing else was asked for.

        Raises:
            InvalidRequestError: the name is malformed or reserved.
        """
        check_namespace(name)
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO accounts (name, kind, fullname) VALUES (?, 'org', ?)",
                (name, fullname or name),
            )
            connection.execute(
                "UPDATE accounts SET fullname = coalesce(nullif(?, ''), fullname), "
                "default_private = coalesce(?, default_private) WHERE name = ? AND kind = 'org'",
                (fullname, default_private, name),
            )

    def default_private(self, namespace: str) -> bool:
        """Whether new repos of a namespace are private where nothing else was asked for."""
        row = self._database.row("SELECT default_private FROM accounts WHERE name = ?", namespace)
        return row is not None and bool(row["default_private"])

    def exists(self, name: str) -> bool:
        """Whether a user or organisation has that name."""
        return self._database.row("SELECT 1 FROM accounts WHERE name = ?", name) is not None

    def new_token(self, name: str, scope: str) -> str:
        """A new token of a user. It is stored hashed: this is the only time it is seen.

        Raises:
            InvalidRequestError: there is no such user or scope.
        """
        token = "hf_" + "".join(secrets.choice(_ALPHABET) for _ in range(34))
        self.add_token(name, token, scope)
        return token

    def add_token(self, name: str, token: str, scope: str) -> None:
        """Accept `token` as one of a user.

        Raises:
            InvalidRequestError: there is no such user or scope, or the token is too short to be one.
        """
        if scope not in SCOPES:
            raise InvalidRequestError(f"{scope!r} is not a scope: use one of {', '.join(SCOPES)}")
        if len(token) < 16 or not token.isascii() or not token.isprintable():
            raise InvalidRequestError("a token is at least 16 printable ASCII characters")
        with self._database.transaction() as connection:
            added = connection.execute(
                "INSERT OR REPLACE INTO tokens (digest, account, scope) "
                "SELECT ?, key, ? FROM accounts WHERE name = ? AND kind = 'user'",
                (_digest(token), scope, name),
            )
            if added.rowcount != 1:
                raise InvalidRequestError(f"there is no user {name!r}")

    def revoke_token(self, token: str) -> bool:
        """Accept `token` no longer; whether this hub knew it."""
        with self._database.transaction() as connection:
            removed = connection.execute("DELETE FROM tokens WHERE digest = ?", (_digest(token),))
        return removed.rowcount == 1

    def authenticate(self, token: str) -> Principal:
        """The caller who shows `token`.

        Raises:
            AuthenticationError: this hub has no such token.
        """
        row = self._database.row(
            "SELECT accounts.*, tokens.scope FROM tokens JOIN accounts ON accounts.key = account "
            "WHERE digest = ?",
            _digest(token),
        )
        if row is None:
            raise AuthenticationError("Invalid credentials in Authorization header")
        orgs = self._database.rows(
            "SELECT name, fullname, coalesce(role, 'admin') AS role FROM accounts "
            "LEFT JOIN members ON org = key AND user = ? "
            "WHERE kind = 'org' AND (? OR role IS NOT NULL) ORDER BY name",
            row["key"],
            row["admin"],
        )
        return Principal(
            key=row["key"],
            name=row["name"],
            fullname=row["fullname"],
            scope=row["scope"],
            admin=bool(row["admin"]),
            orgs=tuple(Organization(org["name"], org["fullname"], org["role"]) for org in orgs),
        )


def _digest(token: str) -> str:
    # Tokens are long and random, so a plain hash cannot be reversed by guessing.
    return hashlib.sha256(token.encode()).hexdigest()


OWNER: Final = "local"
_TOKEN_FILE: Final = "token"  # noqa: S105 - the name of a file


def owner_token(root: Path, accounts: Accounts) -> str:
    """The token in the folder, made anew where there is none that is accepted."""
    token = read_token(root)
    if token is not None:
        try:
            accounts.authenticate(token)
        except AuthenticationError:
            token = None
    if token is None:
        accounts.add_user(OWNER, "The owner of this hub", admin=True)
        token = accounts.new_token(OWNER, "write")
        write_file(root / _TOKEN_FILE, token, mode=0o600)
    return token


def read_token(root: Path) -> str | None:
    """The owner's token of the store in `root`, or None."""
    try:
        return (root / _TOKEN_FILE).read_text() or None
    except FileNotFoundError:
        return None
