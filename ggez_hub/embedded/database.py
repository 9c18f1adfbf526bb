"""The SQLite file of a store: accounts, repos, discussions, and which repo may serve which LFS object.

Files and history are in git; nothing here is needed to read them, but what a large file that came by Xet
is made of.
"""

from __future__ import annotations

import secrets
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any, Final, TypeVar

from ggez_hub.embedded.errors import HubError

T = TypeVar("T")

# A commit that was answered must survive a power cut together with its LFS objects.
SYNCHRONOUS: Final = "FULL"

_V1: Final = """
CREATE TABLE accounts (
    key INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE COLLATE NOCASE,
    kind TEXT NOT NULL CHECK (kind IN ('user', 'org')),
    fullname TEXT NOT NULL,
    admin INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
CREATE TABLE members (
    org INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    user INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    PRIMARY KEY (org, user)
) WITHOUT ROWID;
CREATE TABLE tokens (
    digest TEXT PRIMARY KEY,
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    scope TEXT NOT NULL CHECK (scope IN ('read', 'write')),
    created INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) WITHOUT ROWID;
CREATE TABLE repos (
    key INTEGER PRIMARY KEY,
    type TEXT NOT NULL,
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    private INTEGER NOT NULL,
    created INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    UNIQUE (type, namespace, name)
);
CREATE TABLE objects (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    oid TEXT NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (repo, oid)
) WITHOUT ROWID;
CREATE INDEX objects_by_oid ON objects (oid);
CREATE TABLE summaries (
    repo INTEGER PRIMARY KEY REFERENCES repos ON DELETE CASCADE,
    sha TEXT NOT NULL,
    content TEXT NOT NULL
);
CREATE TABLE secrets (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""

# Roles and defaults of organisations; gated and moved repos; discussions; an index of the listings.
_V2: Final = """
ALTER TABLE accounts ADD COLUMN default_private INTEGER NOT NULL DEFAULT 0;
ALTER TABLE members ADD COLUMN role TEXT NOT NULL DEFAULT 'write';
ALTER TABLE repos ADD COLUMN gated TEXT CHECK (gated IN ('auto', 'manual'));
CREATE TABLE moves (
    type TEXT NOT NULL,
    namespace TEXT NOT NULL COLLATE NOCASE,
    name TEXT NOT NULL COLLATE NOCASE,
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    PRIMARY KEY (type, namespace, name)
) WITHOUT ROWID;
CREATE INDEX moves_by_repo ON moves (repo);
CREATE TABLE access (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    account INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    status TEXT NOT NULL CHECK (status IN ('pending', 'accepted', 'rejected')),
    asked INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    PRIMARY KEY (repo, account)
) WITHOUT ROWID;
CREATE TABLE discussions (
    key INTEGER PRIMARY KEY,
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    number INTEGER NOT NULL,
    is_pull_request INTEGER NOT NULL,
    title TEXT NOT NULL,
    status TEXT NOT NULL CHECK (status IN ('draft', 'open', 'closed', 'merged')),
    author TEXT NOT NULL,
    base TEXT NOT NULL,
    merge_commit TEXT,
    created INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    UNIQUE (repo, number)
);
CREATE TABLE events (
    key INTEGER PRIMARY KEY,
    discussion INTEGER NOT NULL REFERENCES discussions ON DELETE CASCADE,
    id TEXT NOT NULL UNIQUE,
    kind TEXT NOT NULL,
    author TEXT NOT NULL,
    content TEXT NOT NULL,
    created INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
CREATE INDEX events_by_discussion ON events (discussion);
DROP TABLE summaries;
CREATE TABLE summaries (
    repo INTEGER PRIMARY KEY REFERENCES repos ON DELETE CASCADE,
    sha TEXT,
    last_modified INTEGER NOT NULL,
    pipeline_tag TEXT,
    content TEXT NOT NULL,
    files TEXT NOT NULL
);
CREATE TABLE tags (
    tag TEXT NOT NULL,
    repo INTEGER NOT NULL REFERENCES summaries ON DELETE CASCADE,
    PRIMARY KEY (tag, repo)
) WITHOUT ROWID;
CREATE INDEX tags_by_repo ON tags (repo);
"""

# Xet: the xorbs and which repo may refer to which; large files that are made of them, and the chunks by
# which others find them. Moved repos whose folder still has the old name.
_V3: Final = """
CREATE TABLE unfinished_moves (
    repo INTEGER PRIMARY KEY REFERENCES repos ON DELETE CASCADE,
    namespace TEXT NOT NULL,
    name TEXT NOT NULL
);
CREATE TABLE xorbs (hash TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE repo_xorbs (
    repo INTEGER NOT NULL REFERENCES repos ON DELETE CASCADE,
    xorb TEXT NOT NULL REFERENCES xorbs,
    PRIMARY KEY (repo, xorb)
) WITHOUT ROWID;
CREATE INDEX repo_xorbs_by_xorb ON repo_xorbs (xorb);
CREATE TABLE xet_files (oid TEXT PRIMARY KEY, hash TEXT NOT NULL, content BLOB NOT NULL);
CREATE INDEX xet_files_by_hash ON xet_files (hash);
CREATE TABLE xet_terms (
    oid TEXT NOT NULL REFERENCES xet_files ON DELETE CASCADE,
    xorb TEXT NOT NULL REFERENCES xorbs,
    PRIMARY KEY (oid, xorb)
) WITHOUT ROWID;
CREATE INDEX xet_terms_by_xorb ON xet_terms (xorb);
CREATE TABLE xet_chunks (
    chunk TEXT NOT NULL,
    oid TEXT NOT NULL REFERENCES xet_files ON DELETE CASCADE,
    xorb TEXT NOT NULL,
    PRIMARY KEY (chunk, oid)
) WITHOUT ROWID;
CREATE INDEX xet_chunks_by_oid ON xet_chunks (oid);
"""

# When a repo was last given an object or a xorb, or somebody counted on that: such are not garbage yet. How
# much a namespace may hold, and what git holds of a repo. Content that may not come back. Who is told of
# what happens: triggers record it with the change itself, in whichever way it is made.
_V4: Final = """
ALTER TABLE objects ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE repo_xorbs ADD COLUMN used INTEGER NOT NULL DEFAULT 0;
ALTER TABLE accounts ADD COLUMN quota INTEGER;
ALTER TABLE repos ADD COLUMN git_bytes INTEGER NOT NULL DEFAULT 0;
CREATE TABLE purged (
    digest TEXT PRIMARY KEY,
    purged INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
) WITHOUT ROWID;
CREATE TABLE webhooks (
    key INTEGER PRIMARY KEY,
    url TEXT NOT NULL,
    watched TEXT NOT NULL COLLATE NOCASE,
    secret TEXT NOT NULL,
    failed INTEGER NOT NULL DEFAULT 0
);
CREATE TABLE deliveries (
    key INTEGER PRIMARY KEY,
    webhook INTEGER NOT NULL REFERENCES webhooks ON DELETE CASCADE,
    scope TEXT NOT NULL,
    action TEXT NOT NULL,
    repo INTEGER NOT NULL,
    type TEXT NOT NULL,
    name TEXT NOT NULL,
    private INTEGER NOT NULL,
    discussion INTEGER,
    refs TEXT,
    attempts INTEGER NOT NULL DEFAULT 0,
    due INTEGER NOT NULL DEFAULT 0
);
CREATE VIEW watched_repos AS
    SELECT webhooks.key AS webhook, repos.key AS repo, type, namespace || '/' || name AS name, private
    FROM webhooks JOIN repos ON watched IN (namespace, namespace || '/' || name);
CREATE TRIGGER repo_made AFTER INSERT ON repos BEGIN
    INSERT INTO deliveries (webhook, scope, action, repo, type, name, private)
    SELECT webhook, 'repo', 'create', repo, type, name, private FROM watched_repos WHERE repo = NEW.key;
END;
CREATE TRIGGER repo_changed AFTER UPDATE OF namespace, name, private, gated ON repos BEGIN
    INSERT INTO deliveries (webhook, scope, action, repo, type, name, private)
    SELECT webhook, CASE WHEN NEW.namespace || '/' || NEW.name = OLD.namespace || '/' || OLD.name
        THEN 'repo.config' ELSE 'repo' END,
        CASE WHEN NEW.namespace || '/' || NEW.name = OLD.namespace || '/' || OLD.name
        THEN 'update' ELSE 'move' END,
        repo, type, name, private FROM watched_repos WHERE repo = NEW.key;
END;
CREATE TRIGGER repo_removed BEFORE DELETE ON repos BEGIN
    INSERT INTO deliveries (webhook, scope, action, repo, type, name, private)
    SELECT webhook, 'repo', 'delete', repo, type, name, private FROM watched_repos WHERE repo = OLD.key;
END;
CREATE TRIGGER discussion_opened AFTER INSERT ON discussions BEGIN
    INSERT INTO deliveries (webhook, scope, action, repo, type, name, private, discussion)
    SELECT webhook, 'discussion', 'create', repo, type, name, private, NEW.key
    FROM watched_repos WHERE repo = NEW.repo;
END;
CREATE TRIGGER discussion_changed AFTER UPDATE OF title, status ON discussions BEGIN
    INSERT INTO deliveries (webhook, scope, action, repo, type, name, private, discussion)
    SELECT webhook, 'discussion', 'update', repo, type, name, private, NEW.key
    FROM watched_repos WHERE repo = NEW.repo;
END;
CREATE TRIGGER discussion_commented AFTER INSERT ON events WHEN NEW.kind = 'comment' BEGIN
    INSERT INTO deliveries (webhook, scope, action, repo, type, name, private, discussion)
    SELECT webhook, 'discussion.comment', 'create', watched_repos.repo, type, name, private, NEW.discussion
    FROM watched_repos JOIN discussions ON discussions.repo = watched_repos.repo
    WHERE discussions.key = NEW.discussion;
END;
"""

# Collections. Files of buckets. Webhooks of users, who are told of what they may see: `watched` is JSON, a list of names with the type
# of each where it is not any. A bounded number of deliveries waits for each. Whom a xorb counts against until a
# file is made of it.
_V5: Final = """
CREATE TABLE collections (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    owner INTEGER NOT NULL REFERENCES accounts ON DELETE CASCADE,
    title TEXT NOT NULL,
    description TEXT,
    private INTEGER NOT NULL,
    theme TEXT NOT NULL DEFAULT 'blue',
    position INTEGER NOT NULL,
    updated INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER))
);
CREATE INDEX collections_by_owner ON collections (owner);
CREATE TABLE collection_items (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    collection INTEGER NOT NULL REFERENCES collections ON DELETE CASCADE,
    position INTEGER NOT NULL,
    note TEXT,
    repo INTEGER REFERENCES repos ON DELETE CASCADE,
    paper TEXT,
    nested INTEGER REFERENCES collections ON DELETE CASCADE,
    UNIQUE (collection, repo),
    UNIQUE (collection, paper),
    UNIQUE (collection, nested)
);
CREATE INDEX collection_items_by_repo ON collection_items (repo);
CREATE INDEX collection_items_by_paper ON collection_items (paper);
CREATE INDEX collection_items_by_nested ON collection_items (nested);
ALTER TABLE webhooks ADD COLUMN owner INTEGER REFERENCES accounts ON DELETE CASCADE;
ALTER TABLE webhooks ADD COLUMN domains TEXT NOT NULL DEFAULT 'repo discussion';
ALTER TABLE webhooks ADD COLUMN disabled INTEGER NOT NULL DEFAULT 0;
UPDATE webhooks SET watched = json_array(json_object('name', watched));
DROP VIEW watched_repos;
CREATE VIEW webhooks_that_see AS
    SELECT webhooks.key AS webhook, repos.key AS repo FROM webhooks, repos
    WHERE owner IS NULL OR private = 0 OR namespace IN (
        SELECT name FROM accounts WHERE accounts.key = owner UNION ALL
        SELECT name FROM members JOIN accounts ON accounts.key = org WHERE user = owner
    ) OR EXISTS (SELECT 1 FROM accounts WHERE accounts.key = owner AND admin);
CREATE VIEW watched_repos AS
    SELECT DISTINCT webhooks.key AS webhook, repos.key AS repo, repos.type AS type,
        namespace || '/' || repos.name AS name, private
    FROM webhooks, json_each(watched) AS item, repos
    WHERE NOT disabled
    AND json_extract(item.value, '$.name') COLLATE NOCASE IN (namespace, namespace || '/' || repos.name)
    AND coalesce(json_extract(item.value, '$.type'), repos.type) IN ('user', 'org', repos.type)
    AND EXISTS (
        SELECT 1 FROM webhooks_that_see AS seen WHERE seen.webhook = webhooks.key AND seen.repo = repos.key
    );
CREATE TABLE bucket_files (
    repo INTEGER NOT NULL,
    path TEXT NOT NULL,
    oid TEXT NOT NULL,
    mtime INTEGER,
    content_type TEXT,
    uploaded INTEGER NOT NULL DEFAULT (CAST(strftime('%s', 'now') AS INTEGER)),
    PRIMARY KEY (repo, path),
    FOREIGN KEY (repo, oid) REFERENCES objects (repo, oid) ON DELETE CASCADE
) WITHOUT ROWID;
CREATE INDEX bucket_files_by_oid ON bucket_files (repo, oid);
ALTER TABLE xorbs ADD COLUMN size INTEGER NOT NULL DEFAULT 0;
ALTER TABLE xorbs ADD COLUMN account TEXT COLLATE NOCASE;
CREATE INDEX xorbs_by_account ON xorbs (account) WHERE account IS NOT NULL;
CREATE INDEX deliveries_by_webhook ON deliveries (webhook);
CREATE TRIGGER delivery_recorded AFTER INSERT ON deliveries BEGIN
    DELETE FROM deliveries WHERE key = NEW.key AND NOT EXISTS (
        SELECT 1 FROM webhooks WHERE key = NEW.webhook AND instr(
            domains, CASE WHEN NEW.scope LIKE 'discussion%' THEN 'discussion' ELSE 'repo' END
        )
    );
    UPDATE webhooks SET failed = failed + 1 WHERE key = NEW.webhook AND EXISTS (
        SELECT 1 FROM deliveries WHERE webhook = NEW.webhook LIMIT 1 OFFSET 1000
    );
    DELETE FROM deliveries WHERE webhook = NEW.webhook AND key <= (
        SELECT key FROM deliveries WHERE webhook = NEW.webhook ORDER BY key DESC LIMIT 1 OFFSET 1000
    );
END;
"""

# From each version of the schema to the next.
STEPS: Final = (_V1, _V2, _V3, _V4, _V5)


class Database:
    """Connections to one SQLite file, one for each thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        self._opened: list[sqlite3.Connection] = []
        self._guard = threading.Lock()
        path.touch(mode=0o600)
        self._migrate()

    def close(self) -> None:
        """Close the connections of all threads; the object may not be used afterwards."""
        with self._guard:
            while self._opened:
                self._opened.pop().close()

    def rows(self, sql: str, *values: Any, **named: Any) -> list[sqlite3.Row]:
        """The rows of a query, with its values in order, or by name."""
        return self._connection().execute(sql, named or values).fetchall()

    def row(self, sql: str, *values: Any) -> sqlite3.Row | None:
        """The first row of a query, or None."""
        found: sqlite3.Row | None = self._connection().execute(sql, values).fetchone()
        return found

    def write(self, sql: str, *values: Any) -> int:
        """Run one statement in a transaction of its own; the number of rows that it changed."""
        with self.transaction() as connection:
            return connection.execute(sql, values).rowcount

    @contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """A transaction that holds the write lock: committed at the end, undone on an error."""
        connection = self._connection()
        connection.execute("BEGIN IMMEDIATE")
        try:
            yield connection
            connection.execute("COMMIT")
        except BaseException:
            # On a full disk SQLite has done it already, or not.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise

    def secret(self, name: str) -> bytes:
        """A random key that is made once for the store, or once after it was deleted."""
        self.write("INSERT OR IGNORE INTO secrets VALUES (?, ?)", name, secrets.token_bytes(32))
        (value,) = self.rows("SELECT value FROM secrets WHERE name = ?", name)[0]
        return bytes(value)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = sqlite3.connect(
                self._path, timeout=30, isolation_level=None, check_same_thread=False
            )
            connection.row_factory = sqlite3.Row
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute(f"PRAGMA synchronous = {SYNCHRONOUS}")
            connection.execute("PRAGMA foreign_keys = ON")
            self._local.connection = connection
            with self._guard:
                self._opened.append(connection)
        return connection

    def _migrate(self) -> None:
        with self.transaction() as connection:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > len(STEPS):
                raise HubError(
                    f"{self._path} has schema {version}, this version of the hub reads up to "
                    f"{len(STEPS)}: use the version that wrote it"
                )
            for step in STEPS[version:]:
                for statement in _statements(step):
                    connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {len(STEPS)}")


def _statements(script: str) -> Iterator[str]:
    """The statements of a script; those inside a trigger are part of it."""
    statement = ""
    for part in script.split(";"):
        statement += f"{part};"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""


def from_row(kind: type[T], row: sqlite3.Row) -> T:
    """A dataclass of the columns that its fields are named for; SQLite has numbers for booleans."""
    columns = _columns(kind)  # type: ignore[arg-type]
    return kind(**{name: bool(row[name]) if is_bool else row[name] for name, is_bool in columns})


@cache
def _columns(kind: Any) -> list[tuple[str, bool]]:
    return [(field.name, field.type == "bool") for field in fields(kind)]
