"""What the keeper of a hub sees and changes of its accounts; a running server acts on it at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ggez_hub.embedded.accounts import OWNER, token_digest
from ggez_hub.embedded.database import from_row
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.store import HubStore

Kind = Literal["user", "org"]

_NAMES: Final[dict[Kind, str]] = {"user": "user", "org": "organisation"}
# The hash of a token cannot be turned into the token; these digits of it name one of a few thousand.
_ID_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class Account:
    """A user with their organisations, or an organisation with its members, as `name:role`."""

    name: str
    fullname: str
    admin: bool
    default_private: bool
    quota: int | None
    used: int
    repos: int
    tokens: int
    belongs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Token:
    """A token, of which only the hash is known; `created` is in seconds since 1970."""

    id: str
    user: str
    scope: str
    created: int


def accounts(store: HubStore, kind: Kind) -> list[Account]:
    """The users or the organisations, by name."""
    ours, others = ("user", "org") if kind == "user" else ("org", "user")
    rows = store.database.rows(
        "SELECT *, (SELECT count(*) FROM repos WHERE namespace = accounts.name) AS repos, "
        "(SELECT count(*) FROM tokens WHERE account = accounts.key) AS tokens "
        "FROM accounts WHERE kind = ? ORDER BY name",
        kind,
    )
    found = []
    for row in rows:
        belongs = store.database.rows(
            f"SELECT name, role FROM members JOIN accounts ON key = {others} "  # noqa: S608
            f"WHERE {ours} = ? ORDER BY name",
            row["key"],
        )
        found.append(
            Account(
                row["name"],
                row["fullname"],
                bool(row["admin"]),
                bool(row["default_private"]),
                row["quota"],
                store.quotas.used(row["name"]),
                row["repos"],
                row["tokens"],
                tuple(f"{other['name']}:{other['role']}" for other in belongs),
            )
        )
    return found


def change_user(
    store: HubStore, name: str, fullname: str | None, admin: bool | None, orgs: dict[str, str]
) -> bool:
    """Add a user, or change of one what is given (None leaves it); whether they are new.

    Raises InvalidRequestError.
    """
    new = not any(_same(each.name, name) for each in accounts(store, "user"))
    store.accounts.add_user(name, fullname or "", orgs, admin=admin)
    return new


def remove_account(store: HubStore, name: str, kind: Kind) -> None:
    """Remove a user with their tokens, or an organisation.

    Raises InvalidRequestError if there is none of that name, or it has repos.
    """
    found = next((each for each in accounts(store, kind) if _same(each.name, name)), None)
    if found is None:
        raise InvalidRequestError(f"there is no {_NAMES[kind]} {name!r}")
    if found.name == OWNER:
        raise InvalidRequestError(f"{OWNER} is the owner of the folder, and stays")
    # One statement: a repo that is made at this moment keeps its owner.
    removed = store.database.write(
        "DELETE FROM accounts WHERE name = ? AND kind = ? "
        "AND NOT EXISTS (SELECT 1 FROM repos WHERE namespace = accounts.name)",
        name,
        kind,
    )
    if removed != 1:
        raise InvalidRequestError(f"{name} has {found.repos} repos: delete or move them first")


def add_member(store: HubStore, org: str, user: str, role: str) -> None:
    """Let a user belong to an organisation; raises InvalidRequestError if there is no such user or role."""
    if not any(_same(each.name, user) for each in accounts(store, "user")):
        raise InvalidRequestError(f"there is no user {user!r}")
    change_user(store, user, None, None, {org: role})


def remove_member(store: HubStore, org: str, user: str) -> None:
    """Take a user out of an organisation; raises InvalidRequestError if they are not in it."""
    removed = store.database.write(
        "DELETE FROM members WHERE org = (SELECT key FROM accounts WHERE name = ? AND kind = 'org') "
        "AND user = (SELECT key FROM accounts WHERE name = ? AND kind = 'user')",
        org,
        user,
    )
    if removed != 1:
        raise InvalidRequestError(f"{user!r} is not a member of {org!r}")


def tokens(store: HubStore, user: str | None = None) -> list[Token]:
    """The tokens of a user, or all, oldest first; raises InvalidRequestError if there is no such user."""
    if user is not None and not store.accounts.exists(user):
        raise InvalidRequestError(f"there is no user {user!r}")
    rows = store.database.rows(
        "SELECT substr(digest, 1, ?) AS id, name AS user, scope, tokens.created FROM tokens "
        "JOIN accounts ON key = account WHERE ? IS NULL OR name = ? ORDER BY tokens.created, id",
        _ID_DIGITS,
        user,
        user,
    )
    return [from_row(Token, row) for row in rows]


def token_id(token: str) -> str:
    """The id of a token."""
    return token_digest(token)[:_ID_DIGITS]


def revoke(store: HubStore, identity: str) -> None:
    """Accept the token of that id no longer; raises InvalidRequestError if there is none."""
    query = "DELETE FROM tokens WHERE substr(digest, 1, ?) = ?"
    if store.database.write(query, _ID_DIGITS, identity) != 1:
        raise InvalidRequestError(
            f"there is no token {identity!r}: `hub token list` shows their ids"
        )


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()
