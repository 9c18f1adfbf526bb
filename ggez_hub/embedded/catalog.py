"""The repos of a store: names, visibility, and the LFS objects each may serve."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass

from ggez_hub.embedded.database import Database
from ggez_hub.embedded.errors import AlreadyExistsError, RepoNotFoundError
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.names import URL_PREFIXES, RepoType


@dataclass(frozen=True, slots=True)
class RepoRecord:
    """A repo of the catalog."""

    key: int
    type: RepoType
    namespace: str
    name: str
    private: bool
    created: int

    @property
    def id(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """Where the repo is below the hub's address: `datasets/namespace/name`."""
        return URL_PREFIXES[self.type] + self.id


class Catalog:
    """The table of repos. Names that differ only in case are one name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: RepoType, namespace: str, name: str, *, private: bool) -> RepoRecord:
        """Enter a repo.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "INSERT INTO repos (type, namespace, name, private) VALUES (?, ?, ?, ?)",
                    (kind, namespace, name, private),
                )
        except sqlite3.IntegrityError:
            raise AlreadyExistsError(f"You already created this {kind} repo") from None
        return self.get(kind, namespace, name)

    def get(self, kind: RepoType, namespace: str, name: str) -> RepoRecord:
        """The repo of that name.

        Raises:
            RepoNotFoundError: there is none.
        """
        found = self.find(kind, namespace, name)
        if found is None:
            raise RepoNotFoundError("Repository not found")
        return found

    def find(self, kind: RepoType, namespace: str, name: str) -> RepoRecord | None:
        """The repo of that name, or None."""
        row = self._database.row(
            "SELECT * FROM repos WHERE type = ? AND namespace = ? AND name = ?",
            kind,
            namespace,
            name,
        )
        return _record(row) if row else None

    def by_key(self, key: int) -> RepoRecord | None:
        """The repo of that key, or None."""
        row = self._database.row("SELECT * FROM repos WHERE key = ?", key)
        return _record(row) if row else None

    def every(self, kind: RepoType, author: str | None = None) -> list[RepoRecord]:
        """All repos of a type, or those of one namespace, by name."""
        rows = self._database.rows(
            "SELECT * FROM repos WHERE type = ? AND (? IS NULL OR namespace = ?) "
            "ORDER BY namespace, name",
            kind,
            author,
            author,
        )
        return [_record(row) for row in rows]

    def set_private(self, repo: RepoRecord, private: bool) -> None:
        """Change who may see a repo."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE repos SET private = ? WHERE key = ?", (private, repo.key))

    def rename(self, repo: RepoRecord, namespace: str, name: str) -> RepoRecord:
        """Give a repo another name.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE repos SET namespace = ?, name = ? WHERE key = ?",
                    (namespace, name, repo.key),
                )
        except sqlite3.IntegrityError:
            raise AlreadyExistsError(
                f"A {repo.type} repository called {namespace}/{name} already exists"
            ) from None
        return self.get(repo.type, namespace, name)

    def remove(self, repo: RepoRecord) -> list[str]:
        """Strike a repo out; the LFS objects that no repo refers to any longer."""
        with self._database.transaction() as connection:
            orphans = connection.execute(
                "SELECT oid FROM objects WHERE repo = ? AND oid NOT IN "
                "(SELECT oid FROM objects WHERE repo != ?)",
                (repo.key, repo.key),
            ).fetchall()
            connection.execute("DELETE FROM repos WHERE key = ?", (repo.key,))
        return [row["oid"] for row in orphans]

    def link(self, repo: RepoRecord, pointer: Pointer) -> None:
        """Record that a repo holds an LFS object."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR IGNORE INTO objects VALUES (?, ?, ?)",
                (repo.key, pointer.oid, pointer.size),
            )

    def linked(self, repo: RepoRecord, oids: Iterable[str]) -> dict[str, int]:
        """Which of `oids` a repo holds, with their sizes."""
        found = {}
        for oid in oids:
            row = self._database.row(
                "SELECT size FROM objects WHERE repo = ? AND oid = ?", repo.key, oid
            )
            if row is not None:
                found[oid] = int(row["size"])
        return found

    def used_storage(self, repo: RepoRecord) -> int:
        """The bytes of a repo's LFS objects."""
        row = self._database.row(
            "SELECT coalesce(sum(size), 0) AS total FROM objects WHERE repo = ?", repo.key
        )
        return int(row["total"]) if row else 0

    def summary(self, repo: RepoRecord, sha: str) -> str | None:
        """The stored summary of a repo if it is that of the commit `sha`."""
        row = self._database.row(
            "SELECT content FROM summaries WHERE repo = ? AND sha = ?", repo.key, sha
        )
        return row["content"] if row else None

    def set_summary(self, repo: RepoRecord, sha: str, content: str) -> None:
        """Store the summary of a commit."""
        with self._database.transaction() as connection:
            connection.execute(
                "INSERT OR REPLACE INTO summaries SELECT key, ?, ? FROM repos WHERE key = ?",
                (sha, content, repo.key),
            )


def _record(row: sqlite3.Row) -> RepoRecord:
    return RepoRecord(
        key=row["key"],
        type=row["type"],
        namespace=row["namespace"],
        name=row["name"],
        private=bool(row["private"]),
        created=row["created"],
    )
