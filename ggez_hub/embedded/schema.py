"""The tables of a store, as the steps that lead from each version of the schema to the next."""

from __future__ import annotations

from typing import Final

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

STEPS: Final = (_V1, _V2)
