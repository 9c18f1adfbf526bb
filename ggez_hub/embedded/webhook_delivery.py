"""Sending what webhooks are told, in the form of the Hub's: https://huggingface.co/docs/hub/webhooks

At least once, in order for each webhook; what is refused is sent again, later and later, and given up in the end.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import sqlite3
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from threading import Event, Thread
from typing import Any, Final

from ggez_hub.embedded.names import URL_PREFIXES
from ggez_hub.embedded.store import HubStore
from ggez_hub.embedded.webhooks import host_of

ATTEMPTS: Final = 8
FIRST_WAIT: Final = 10  # seconds, doubled each time: the last attempt is after about 20 minutes
TIMEOUT: Final = 10.0
_POLL: Final = 1.0
_log = logging.getLogger("ggez_hub.embedded")


@contextmanager
def delivering(store: HubStore, address: str, hosts: Collection[str]) -> Iterator[None]:
    """Send from a thread while the block lasts; `address` is that of the hub, for links.

    Nothing is sent to other hosts than `hosts`, whatever a webhook says; redirects are not followed.
    """
    if not hosts:
        yield
        return
    stop = Event()

    def work() -> None:
        while not stop.wait(_POLL):
            try:
                deliver(store, address, hosts)
            except sqlite3.Error as error:
                # Locked, or the disk is full: what waits is in the database.
                _log.error("webhooks wait: %s", error)

    thread = Thread(target=work, name="webhooks", daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(timeout=2 * TIMEOUT)


def deliver(store: HubStore, address: str, hosts: Collection[str]) -> None:
    """Send what is due, the oldest of each webhook."""
    rows = store.database.rows(
        "SELECT deliveries.*, url, secret FROM deliveries JOIN webhooks ON webhooks.key = webhook "
        "WHERE deliveries.key IN (SELECT min(key) FROM deliveries GROUP BY webhook) AND due <= ? "
        "ORDER BY deliveries.key",
        int(time.time()),
    )
    for row in rows:
        if not _may_be_told(store, row):
            store.database.write("DELETE FROM deliveries WHERE key = ?", row["key"])
            continue
        body = json.dumps(_document(store, row, address)).encode()
        problem = _send(row, body, hosts)
        if problem is None:
            store.database.write("DELETE FROM deliveries WHERE key = ?", row["key"])
            continue
        attempts = row["attempts"] + 1
        _log.warning("webhook %d: %s (attempt %d)", row["webhook"], problem, attempts)
        if attempts < ATTEMPTS:
            due = int(time.time()) + FIRST_WAIT * 2 ** (attempts - 1)
            query = "UPDATE deliveries SET attempts = ?, due = ? WHERE key = ?"
            store.database.write(query, attempts, due, row["key"])
        else:
            with store.database.transaction() as connection:
                connection.execute("DELETE FROM deliveries WHERE key = ?", (row["key"],))
                query = "UPDATE webhooks SET failed = failed + 1 WHERE key = ?"
                connection.execute(query, (row["webhook"],))


def _may_be_told(store: HubStore, row: sqlite3.Row) -> bool:
    """Whether the owner of a webhook may see the repo still; of one that was removed they saw what is sent."""
    query = "SELECT 1 FROM webhooks_that_see WHERE webhook = ? AND repo = ?"
    return (
        store.catalog.by_key(row["repo"]) is None
        or store.database.row(query, row["webhook"], row["repo"]) is not None
    )


def _send(row: sqlite3.Row, body: bytes, hosts: Collection[str]) -> str | None:
    """Send one; why it did not arrive, or None."""
    import httpx2

    host = host_of(row["url"])
    if host not in {each.lower() for each in hosts}:
        return f"{host} is not a host of --webhook-host"
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "ggez-hub",
        # The same for each attempt.
        "X-Webhook-Delivery": str(row["key"]),
    }
    if row["secret"]:
        # As the Hub does. Beside it, what shows that the body was not changed on the way.
        signature = hmac.new(row["secret"].encode(), body, hashlib.sha256).hexdigest()
        headers["X-Webhook-Secret"] = row["secret"]
        headers["X-Webhook-Signature"] = f"sha256={signature}"
    try:
        # No proxy of the environment, which could reach what `hosts` does not name.
        with (
            httpx2.Client(trust_env=False, timeout=TIMEOUT, follow_redirects=False) as client,
            client.stream("POST", row["url"], content=body, headers=headers) as answer,
        ):
            return None if answer.is_success else f"{host} answers {answer.status_code}"
    except (httpx2.HTTPError, httpx2.InvalidURL, ValueError) as error:
        return f"{host}: {type(error).__name__}"


def _document(store: HubStore, row: sqlite3.Row, address: str) -> dict[str, Any]:
    path = URL_PREFIXES[row["type"]] + row["name"]
    repo: dict[str, Any] = {
        "type": row["type"],
        "name": row["name"],
        "id": str(row["repo"]),
        "private": bool(row["private"]),
        "owner": {"id": row["name"].partition("/")[0]},
        "url": {
            "web": f"{address}/{path}",
            "api": f"{address}/api/{row['type']}s/{row['name']}",
        },
    }
    document: dict[str, Any] = {
        "event": {"action": row["action"], "scope": row["scope"]},
        "repo": repo,
        "webhook": {"id": str(row["webhook"]), "version": 3},
    }
    if row["refs"] is not None:
        document["updatedRefs"] = refs = json.loads(row["refs"])
        repo["headSha"] = refs[0]["newSha"]
    query = "SELECT * FROM discussions WHERE key = ?"
    thread = store.database.row(query, row["discussion"]) if row["discussion"] else None
    if thread is not None:
        place = f"{path}/discussions/{thread['number']}"
        document["discussion"] = {
            "id": str(thread["key"]),
            "num": thread["number"],
            "title": thread["title"],
            "status": thread["status"],
            "isPullRequest": bool(thread["is_pull_request"]),
            "author": {"id": thread["author"]},
            "url": {
                "web": f"{address}/{place}",
                "api": f"{address}/api/{row['type']}s/{row['name']}/discussions/{thread['number']}",
            },
        }
        if thread["is_pull_request"]:
            document["discussion"]["changes"] = {"base": f"refs/heads/{thread['base']}"}
    return document
