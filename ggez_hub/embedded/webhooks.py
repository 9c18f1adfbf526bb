"""Who is told of what happens to which repos. Only the keeper of the folder adds a webhook.

What happens is recorded for each webhook in the database, in the transaction of the change; what moved in git,
right after it. `webhook_delivery` sends it.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from urllib.parse import urlsplit

from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.names import check_namespace, split_repo_id


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that is told of a namespace or a repo; `failed` deliveries were given up."""

    key: int
    url: str
    watched: str
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
        try:
            parts = urlsplit(url)
            parts.port  # noqa: B018 - it is read when it is asked for
        except ValueError as error:
            raise InvalidRequestError(f"{url!r} is not an address: {error}") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username:
            raise InvalidRequestError(f"{url!r} is not an http address, or has a name in it")
        if "/" in watched:
            split_repo_id(watched)
        else:
            check_namespace(watched)
        secret = secret or secrets.token_urlsafe(24)
        if not secret.isascii() or not secret.isprintable():
            raise InvalidRequestError("a secret is printable ASCII")
        with self._database.transaction() as connection:
            (key,) = connection.execute(
                "INSERT INTO webhooks (url, watched, secret) VALUES (?, ?, ?) RETURNING key",
                (url, watched, secret),
            ).fetchone()
        return key, secret

    def all(self) -> list[Webhook]:
        """All webhooks, oldest first."""
        rows = self._database.rows(
            "SELECT *, (SELECT count(*) FROM deliveries WHERE webhook = webhooks.key) AS waiting "
            "FROM webhooks ORDER BY key"
        )
        return [from_row(Webhook, row) for row in rows]

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
