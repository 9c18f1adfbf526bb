"""The repos of a store: names, visibility, and the LFS objects each may serve."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from ggez_hub.embedded.database import Database
from ggez_hub.embedded.errors import AlreadyExistsError, RepoNotFoundError
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.names import URL_PREFIXES, RepoType

Gated = Literal["auto", "manual"]


@dataclass(frozen=True, slots=True)
class RepoRecord:
    """A repo of the catalog."""

    key: int
    type: RepoType
    namespace: str
    name: str
    private: bool
    created: int
    gated: Gated | None = None

    @classmethod
    def of(cls, row: sqlite3.Row) -> RepoRecord:
        """The repo of a row of the table."""
        return cls(
            key=row["key"],
            type=row["type"],
            namespace=row["namespace"],
            name=row["name"],
            private=bool(row["private"]),
            created=row["created"],
            gated=row["gated"],
        )

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
                _free_name(connection, kind, namespace, name)
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
        return RepoRecord.of(row) if row else None

    def moved(self, kind: RepoType, namespace: str, name: str) -> RepoRecord | None:
        """The repo that had that name before it was moved, or None."""
        row = self._database.row(
            "SELECT repos.* FROM repos JOIN moves ON moves.repo = repos.key "
            "WHERE moves.type = ? AND moves.namespace = ? AND moves.name = ?",
            kind,
            namespace,
            name,
        )
        return RepoRecord.of(row) if row else None

    def by_key(self, key: int) -> RepoRecord | None:
        """The repo of that key, or None."""
        row = self._database.row("SELECT * FROM repos WHERE key = ?", key)
        return RepoRecord.of(row) if row else None

    def set_private(self, repo: RepoRecord, private: bool) -> None:
        """Change who may see a repo."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE repos SET private = ? WHERE key = ?", (private, repo.key))

    def set_gated(self, repo: RepoRecord, gated: Gated | None) -> None:
        """Change whether readers must ask for access to a repo, and whether it is given at once."""
        with self._database.transaction() as connection:
            connection.execute("UPDATE repos SET gated = ? WHERE key = ?", (gated, repo.key))

    def rename(self, repo: RepoRecord, namespace: str, name: str) -> RepoRecord:
        """Give a repo another name; the old one leads to it until another repo takes it.

        Raises:
            AlreadyExistsError: the name is taken.
        """
        try:
            with self._database.transaction() as connection:
                connection.execute(
                    "UPDATE repos SET namespace = ?, name = ? WHERE key = ?",
                    (namespace, name, repo.key),
                )
                _free_name(connection, repo.type, namespace, name)
                connection.execute(
                    "INSERT OR REPLACE INTO moves VALUES (?, ?, ?, ?)",
                    (repo.type, repo.namespace, repo.name, repo.key),
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


def _free_name(connection: sqlite3.Connection, kind: str, namespace: str, name: str) -> None:
    connection.execute(
        "DELETE FROM moves WHERE type = ? AND namespace = ? AND name = ?", (kind, namespace, name)
    )
