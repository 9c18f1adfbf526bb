"""The users, organisations and tokens of a store."""

from __future__ import annotations

import hashlib
import secrets
import sqlite3
import string
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError

from ggez_hub.atomic_files import write_file
from ggez_hub.embedded.access_control import ROLES, SCOPES, Organization, Principal, Scope
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import AuthenticationError, InvalidRequestError
from ggez_hub.embedded.names import check_namespace

OWNER: Final = "local"
_TOKEN_FILE: Final = "token"  # noqa: S105 - the name of a file
_ALPHABET: Final = string.ascii_letters + string.digits


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
        admin: bool | None = None,
    ) -> None:
        """Add a user, or change what is given of one.

        `orgs`: the user's role in each; organisations that are missing are added. Raises
        InvalidRequestError if the name is malformed, reserved, or that of an organisation; or
        there is no such role.
        """
        check_namespace(name)
        for org, role in (orgs or {}).items():
            if role not in ROLES:
                raise InvalidRequestError(f"{role!r} is not a role: use one of {', '.join(ROLES)}")
            self.add_org(org)
        with self._database.transaction() as connection:
            _add_or_change(connection, "user", name, fullname, admin=admin)
            user = connection.execute(
                "SELECT key FROM accounts WHERE name = ? AND kind = 'user'", (name,)
            ).fetchone()
            if user is None:
                raise InvalidRequestError(f"{name!r} is an organisation")
            connection.executemany(
                "INSERT OR REPLACE INTO members (org, user, role) "
                "SELECT key, ?, ? FROM accounts WHERE name = ? AND kind = 'org'",
                [(user["key"], role, org) for org, role in (orgs or {}).items()],
            )

    def add_org(
        self, name: str, fullname: str = "", *, default_private: bool | None = None
    ) -> None:
        """Add an organisation, or change what is given of one; a user of that name stays as they are.

        `default_private`: whether new repos are private where the request does not say. Raises
        InvalidRequestError if the name is malformed or reserved.
        """
        check_namespace(name)
        with self._database.transaction() as connection:
            _add_or_change(connection, "org", name, fullname, default_private=default_private)

    def default_private(self, namespace: str) -> bool:
        """Whether new repos of a namespace are private where the request does not say."""
        row = self._database.row("SELECT default_private FROM accounts WHERE name = ?", namespace)
        return row is not None and bool(row["default_private"])

    def exists(self, name: str) -> bool:
        """Whether a user or organisation has that name."""
        return self._database.row("SELECT 1 FROM accounts WHERE name = ?", name) is not None

    def new_token(self, name: str, scope: str) -> str:
        """A new token of a user. It is stored hashed: this is the only time it is seen.

        Raises InvalidRequestError if there is no such user or scope.
        """
        token = "hf_" + "".join(secrets.choice(_ALPHABET) for _ in range(34))
        self.add_token(name, token, scope)
        return token

    def add_token(self, name: str, token: str, scope: str) -> None:
        """Accept `token` as one of a user.

        Raises InvalidRequestError if there is no such user or scope, or the token is too short to
        be one.
        """
        if scope not in SCOPES:
            raise InvalidRequestError(f"{scope!r} is not a scope: use one of {', '.join(SCOPES)}")
        if len(token) < 16 or not token.isascii() or not token.isprintable():
            raise InvalidRequestError("a token is at least 16 printable ASCII characters")
        added = self._database.write(
            "INSERT OR REPLACE INTO tokens (digest, account, scope) "
            "SELECT ?, key, ? FROM accounts WHERE name = ? AND kind = 'user'",
            token_digest(token),
            scope,
            name,
        )
        if added != 1:
            raise InvalidRequestError(f"there is no user {name!r}")

    def revoke_token(self, token: str) -> bool:
        """Accept `token` no longer; whether this hub knew it."""
        return self._database.write("DELETE FROM tokens WHERE digest = ?", token_digest(token)) == 1

    def authenticate(self, token: str) -> Principal:
        """The caller who shows `token`; raises AuthenticationError if this hub does not know it."""
        row = self._database.row(
            "SELECT accounts.*, tokens.scope FROM tokens JOIN accounts ON accounts.key = account "
            "WHERE digest = ?",
            token_digest(token),
        )
        if row is None:
            raise AuthenticationError("Invalid credentials in Authorization header")
        return self._principal(row, row["scope"])

    def by_key(self, key: int, scope: Scope) -> Principal | None:
        """The account of that key as a caller with a scope, or None."""
        row = self._database.row("SELECT * FROM accounts WHERE key = ?", key)
        return self._principal(row, scope) if row else None

    def _principal(self, row: sqlite3.Row, scope: Scope) -> Principal:
        orgs = self._database.rows(
            "SELECT name, fullname, coalesce(role, 'admin') AS role FROM accounts "
            "LEFT JOIN members ON org = key AND user = ? "
            "WHERE kind = 'org' AND (? OR role IS NOT NULL) ORDER BY name",
            row["key"],
            row["admin"],
        )
        return Principal(
            row["key"],
            row["name"],
            row["fullname"],
            scope,
            bool(row["admin"]),
            tuple(from_row(Organization, org) for org in orgs),
        )


def _add_or_change(
    connection: sqlite3.Connection,
    kind: Literal["user", "org"],
    name: str,
    fullname: str,
    *,
    admin: bool | None = None,
    default_private: bool | None = None,
) -> None:
    """Add an account where the name is free, and change what is given, if it is of that kind."""
    connection.execute(
        "INSERT OR IGNORE INTO accounts (name, kind, fullname) VALUES (?, ?, ?)",
        (name, kind, fullname or name),
    )
    connection.execute(
        "UPDATE accounts SET fullname = coalesce(nullif(?, ''), fullname), admin = coalesce(?, admin), "
        "default_private = coalesce(?, default_private) WHERE name = ? AND kind = ?",
        (fullname, admin, default_private, name, kind),
    )


def token_digest(token: str) -> str:
    """What is kept of a token."""
    # Tokens are long and random, so a plain hash cannot be reversed by guessing.
    return hashlib.sha256(token.encode()).hexdigest()


def owner_token(root: Path, accounts: Accounts) -> str:
    """The token in the folder of a store, whose owner may do everything; a new one where it is not valid."""
    token = read_token(root)
    try:
        accounts.authenticate(token or "")
    except AuthenticationError:
        accounts.add_user(OWNER, "The owner of this hub", admin=True)
        token = accounts.new_token(OWNER, "write")
        write_file(root / _TOKEN_FILE, token, mode=0o600)
    return str(token)


def read_token(root: Path) -> str | None:
    """The owner's token of the store in `root`, or None."""
    try:
        return (root / _TOKEN_FILE).read_text() or None
    except FileNotFoundError:
        return None


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Token(_Entry):
    token: str
    scope: str = "write"


class _Org(_Entry):
    name: str
    fullname: str = ""
    role: str = "write"
    default_private: bool = False


def _full_form(org: Any) -> Any:
    return {"name": org} if isinstance(org, str) else org


class _Account(_Entry):
    name: str
    fullname: str = ""
    token: str | None = None
    tokens: list[_Token] = []
    orgs: list[Annotated[_Org, BeforeValidator(_full_form)]] = []


def load_accounts(accounts: Accounts, path: Path) -> None:
    """Add the accounts, tokens and organisations of a file, and update those that exist.

    Raises InvalidRequestError if the file has another form, or a name, role or token in it is
    malformed.
    """
    try:
        entries = yaml.safe_load(path.read_bytes())
    except (yaml.YAMLError, ValueError) as error:
        raise InvalidRequestError(f"{path} is not YAML: {error}") from error
    if not isinstance(entries, list):
        raise InvalidRequestError(f"{path} must be a list of accounts")
    for number, entry in enumerate(entries, 1):
        try:
            _add(accounts, _Account.model_validate(entry))
        except ValidationError as error:
            problem = InvalidRequestError.of(error).message
            raise InvalidRequestError(f"{path}, account {number}: {problem}") from error
        except InvalidRequestError as error:
            raise InvalidRequestError(f"{path}, account {number}: {error.message}") from error


def _add(accounts: Accounts, entry: _Account) -> None:
    for org in entry.orgs:
        accounts.add_org(org.name, org.fullname, default_private=org.default_private)
    accounts.add_user(entry.name, entry.fullname, {org.name: org.role for org in entry.orgs})
    if entry.token is not None:
        accounts.add_token(entry.name, entry.token, "write")
    for token in entry.tokens:
        accounts.add_token(entry.name, token.token, token.scope)
