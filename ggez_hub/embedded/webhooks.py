"""Who is told of what happens to which repos: what users ask for, of what they may see, and who keeps the folder, of all.

What happens is recorded for each webhook in the database, in the transaction of the change; what moved in git,
right after it. `webhook_delivery` sends it.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args
from urllib.parse import urlsplit

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database
from ggez_hub.embedded.errors import InvalidRequestError, TooLargeError, WebhookNotFoundError
from ggez_hub.embedded.names import RepoType, check_namespace, split_repo_id

Domain = Literal["repo", "discussion"]
WatchedType = RepoType | Literal["user", "org"]

DOMAINS: Final[tuple[Domain, ...]] = get_args(Domain)
MOST_WEBHOOKS: Final = 20  # of one user


@dataclass(frozen=True, slots=True)
class Watched:
    """A namespace (`user`, `org`) or a repo that is watched; type None: any of that name."""

    name: str
    type: WatchedType | None = None

    def __post_init__(self) -> None:
        """Raises InvalidRequestError if the name is not one of its type."""
        if self.type in {"user", "org"} or (self.type is None and "/" not in self.name):
            check_namespace(self.name)
        else:
            split_repo_id(self.name)


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of namespaces and repos; `failed` deliveries were given up.

    `owner` is the name of the user whose it is; None for one of who keeps the folder.
    """

    key: int
    url: str
    watched: tuple[Watched, ...]
    domains: tuple[str, ...]
    secret: str
    disabled: bool
    owner: str | None
    failed: int
    waiting: int


class Webhooks:
    """The webhooks of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, url: str, watched: str, secret: str | None = None) -> tuple[int, str]:
        """Tell `url` of what happens to a namespace or a repo; the key, and the secret to know it by.

        Raises InvalidRequestError.
        """
        secret = secret or secrets.token_urlsafe(24)
        values = _columns({"url": url, "watched": [Watched(watched)], "secret": secret})
        with self._database.transaction() as connection:
            return _insert(connection, values), secret

    def add_for(
        self,
        owner: int,
        url: str,
        watched: Sequence[Watched],
        domains: Sequence[Domain],
        secret: str,
    ) -> Webhook:
        """A webhook of a user, by the key of their account; raises InvalidRequestError, TooLargeError."""
        given = {"url": url, "watched": watched, "domains": domains, "secret": secret}
        values = _columns(given) | {"owner": owner}
        with self._database.transaction() as connection:
            query = "SELECT count(*) FROM webhooks WHERE owner = ?"
            if connection.execute(query, (owner,)).fetchone()[0] >= MOST_WEBHOOKS:
                raise TooLargeError(f"You have {MOST_WEBHOOKS} webhooks, and may have no more")
            key = _insert(connection, values)
        return self.get(owner, key)

    def all(self) -> list[Webhook]:
        """All webhooks, oldest first."""
        return self._find("1")

    def of(self, owner: int) -> list[Webhook]:
        """The webhooks of a user, oldest first."""
        return self._find("owner = ?", owner)

    def get(self, owner: int, key: int) -> Webhook:
        """A webhook of a user; raises WebhookNotFoundError."""
        found = self._find("owner = ? AND webhooks.key = ?", owner, key)
        if not found:
            raise WebhookNotFoundError
        return found[0]

    def update(self, webhook: Webhook, changes: Mapping[str, Any]) -> None:
        """Change url, watched, domains, secret or disabled; raises InvalidRequestError.

        What waits for one that is disabled is forgotten.
        """
        values = _columns(changes)
        settings = ", ".join(f"{name} = ?" for name in values)
        with self._database.transaction() as connection:
            query = f"UPDATE webhooks SET {settings} WHERE key = ?"  # noqa: S608 - names of columns
            connection.execute(query, (*values.values(), webhook.key))
            if changes.get("disabled"):
                connection.execute("DELETE FROM deliveries WHERE webhook = ?", (webhook.key,))

    def remove(self, key: int) -> None:
        """Remove a webhook, and what waits for it; raises InvalidRequestError if there is none."""
        if self._database.write("DELETE FROM webhooks WHERE key = ?", key) != 1:
            raise InvalidRequestError(f"there is no webhook {key}")

    def record(self, repo: RepoRecord, ref: str, old: str | None, new: str | None) -> None:
        """Record that a ref of a repo moved, if somebody watches the repo."""
        query = "SELECT 1 FROM watched_repos WHERE repo = ?"
        if self._database.row(query, repo.key) is None:
            return
        self._database.write(
            "INSERT INTO deliveries (webhook, scope, action, repo, type, name, private, refs) "
            "SELECT webhook, 'repo.content', 'update', repo, type, name, private, ? "
            "FROM watched_repos WHERE repo = ?",
            json.dumps([{"ref": ref, "oldSha": old, "newSha": new}]),
            repo.key,
        )

    def _find(self, condition: str, *values: int) -> list[Webhook]:
        rows = self._database.rows(
            "SELECT webhooks.*, accounts.name AS owner_name, "  # noqa: S608 - constants of this class
            "(SELECT count(*) FROM deliveries WHERE webhook = webhooks.key) AS waiting "
            "FROM webhooks LEFT JOIN accounts ON accounts.key = owner "
            f"WHERE {condition} ORDER BY webhooks.key",
            *values,
        )
        return [
            Webhook(
                row["key"],
                row["url"],
                tuple(Watched(**each) for each in json.loads(row["watched"])),
                tuple(row["domains"].split()),
                row["secret"],
                bool(row["disabled"]),
                row["owner_name"],
                row["failed"],
                row["waiting"],
            )
            for row in rows
        ]


def _columns(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of columns, checked; raises InvalidRequestError."""
    columns = dict(values)
    if "url" in columns:
        host_of(columns["url"])
    secret = columns.get("secret", "")
    if not secret.isascii() or not (secret.isprintable() or not secret):
        raise InvalidRequestError("a secret is printable ASCII")
    if "watched" in columns:
        named = ({"name": each.name, "type": each.type} for each in columns["watched"])
        columns["watched"] = json.dumps(
            [{key: value for key, value in each.items() if value} for each in named]
        )
    if "domains" in columns:
        columns["domains"] = " ".join(columns["domains"])
    return columns


def _insert(connection: sqlite3.Connection, values: Mapping[str, Any]) -> int:
    names, marks = ", ".join(values), ", ".join("?" * len(values))
    query = f"INSERT INTO webhooks ({names}) VALUES ({marks}) RETURNING key"  # noqa: S608
    return int(connection.execute(query, tuple(values.values())).fetchone()[0])


def host_of(url: str) -> str:
    """The host of the address of a webhook, in lower case; raises InvalidRequestError for other addresses."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - it is read when it is asked for
    except ValueError as error:
        raise InvalidRequestError(f"{url!r} is not an address: {error}") from None
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
        raise InvalidRequestError(f"{url!r} is not an http address, or has a name in it")
    return parts.hostname.lower()
