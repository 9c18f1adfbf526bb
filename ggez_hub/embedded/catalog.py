"""The repos of a store: names, visibility, and the LFS objects each may serve."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import AlreadyExistsError, PurgedError, RepoNotFoundError
from ggez_hub.embedded.lfs import Pointer
from ggez_hub.embedded.names import URL_PREFIXES, RepoType

Gated = Literal["auto", "manual"]
# What was used so many seconds ago or less need not be marked as used.
FRESH: Final = 600


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

    @property
    def id(self) -> str:
        """`namespace/name`."""
        return f"{self.namespace}/{self.name}"

    @property
    def url_path(self) -> str:
        """Where the repo is below the hub's address: `datasets/namespace/name`."""
        return URL_PREFIXES[self.type] + self.id


@dataclass(frozen=True, slots=True)
class Held:
    """An LFS object of a repo; when it came, or was last announced, in seconds since 1970."""

    oid: str
    size: int
    used: int


class Catalog:
    """The table of repos. Names that differ only in case are one name."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, kind: RepoType, namespace: str, name: str, *, private: bool) -> RepoRecord:
        """Enter a repo; raises AlreadyExistsError."""
        with self._named(kind, namespace, name, f"You already created this {kind} repo") as edit:
            edit.execute(
                "INSERT INTO repos (type, namespace, name, private) VALUES (?, ?, ?, ?)",
                (kind, namespace, name, private),
            )
        return self.get(kind, namespace, name)

    def get(self, kind: RepoType, namespace: str, name: str) -> RepoRecord:
        """The repo of that name; raises RepoNotFoundError."""
        found = self.find(kind, namespace, name)
        if found is None:
            raise RepoNotFoundError("Repository not found")
        return found

    def find(self, kind: RepoType, namespace: str, name: str) -> RepoRecord | None:
        """The repo of that name, or None."""
        return self._repo("type = ? AND namespace = ? AND name = ?", kind, namespace, name)

    def moved(self, kind: RepoType, namespace: str, name: str) -> RepoRecord | None:
        """The repo that had that name before it was moved, or None."""
        return self._repo(
            "key = (SELECT repo FROM moves WHERE type = ? AND namespace = ? AND name = ?)",
            kind,
            namespace,
            name,
        )

    def all(self) -> list[RepoRecord]:
        """All repos, oldest first."""
        rows = self._database.rows("SELECT * FROM repos ORDER BY key")
        return [from_row(RepoRecord, row) for row in rows]

    def set_git_bytes(self, repo: RepoRecord, nbytes: int) -> None:
        """Record how much git holds of a repo."""
        self._database.write("UPDATE repos SET git_bytes = ? WHERE key = ?", nbytes, repo.key)

    def of(self, namespace: str) -> list[RepoRecord]:
        """The repos of a namespace."""
        rows = self._database.rows("SELECT * FROM repos WHERE namespace = ?", namespace)
        return [from_row(RepoRecord, row) for row in rows]

    def by_key(self, key: int) -> RepoRecord | None:
        """The repo of that key, or None."""
        return self._repo("key = ?", key)

    def set_access(self, repo: RepoRecord, *, private: bool, gated: Gated | None) -> None:
        """Change who may see a repo, and whether readers must ask for access to its files."""
        query = "UPDATE repos SET private = ?, gated = ? WHERE key = ?"
        self._database.write(query, private, gated, repo.key)

    def rename(self, repo: RepoRecord, namespace: str, name: str) -> RepoRecord:
        """Give a repo another name; the old one leads to it until another repo takes it.

        The move is unfinished until the folder has the new name, too. Raises AlreadyExistsError.
        """
        taken = f"A {repo.type} repository called {namespace}/{name} already exists"
        with self._named(repo.type, namespace, name, taken) as edit:
            edit.execute(
                "UPDATE repos SET namespace = ?, name = ? WHERE key = ?",
                (namespace, name, repo.key),
            )
            edit.execute(
                "INSERT OR REPLACE INTO moves VALUES (?, ?, ?, ?)",
                (repo.type, repo.namespace, repo.name, repo.key),
            )
            edit.execute(
                "INSERT INTO unfinished_moves VALUES (?, ?, ?)",
                (repo.key, repo.namespace, repo.name),
            )
        return self.get(repo.type, namespace, name)

    def unfinished_moves(self) -> list[tuple[RepoRecord, str, str]]:
        """The repos whose folder may still have an old name: with its namespace and the name."""
        rows = self._database.rows(
            "SELECT repos.*, old.namespace AS old_namespace, old.name AS old_name "
            "FROM unfinished_moves AS old JOIN repos ON repos.key = old.repo"
        )
        return [(from_row(RepoRecord, row), row["old_namespace"], row["old_name"]) for row in rows]

    def finish_move(self, repo: RepoRecord) -> None:
        """Record that the folder of a repo has its name."""
        self._database.write("DELETE FROM unfinished_moves WHERE repo = ?", repo.key)

    def remove(self, repo: RepoRecord) -> list[str]:
        """Remove a repo; the LFS objects that no repo refers to any longer."""
        with self._database.transaction() as connection:
            orphans = connection.execute(
                "SELECT oid FROM objects WHERE repo = ? AND oid NOT IN "
                "(SELECT oid FROM objects WHERE repo != ?)",
                (repo.key, repo.key),
            ).fetchall()
            connection.execute("DELETE FROM repos WHERE key = ?", (repo.key,))
        return [row["oid"] for row in orphans]

    def refuse_purged(self, digests: Iterable[str]) -> None:
        """Raise PurgedError if one of the digests is of content that was removed for good."""
        query = "SELECT 1 FROM purged WHERE digest = ?"
        if any(self._database.row(query, digest) for digest in digests):
            raise PurgedError

    def link(self, repo: RepoRecord, pointer: Pointer) -> None:
        """Record that a repo holds an LFS object; raises PurgedError."""
        self.refuse_purged([pointer.oid])
        self._database.write(
            "INSERT INTO objects (repo, oid, size, used) VALUES (?, ?, ?, strftime('%s', 'now')) "
            "ON CONFLICT DO UPDATE SET used = excluded.used",
            repo.key,
            pointer.oid,
            pointer.size,
        )

    def share(self, repo: RepoRecord, other: RepoRecord, oids: Iterable[str]) -> dict[str, int]:
        """Let `other` hold those of `oids` that a repo holds, too: these, with their sizes."""
        with self._database.transaction() as connection:
            rows = [
                row
                for oid in oids
                for row in connection.execute(
                    "INSERT INTO objects (repo, oid, size, used) "
                    "SELECT ?, oid, size, strftime('%s', 'now') FROM objects WHERE repo = ? AND oid = ? "
                    "ON CONFLICT DO UPDATE SET used = excluded.used RETURNING oid, size",
                    (other.key, repo.key, oid),
                )
            ]
        return {row["oid"]: row["size"] for row in rows}

    def unlink(
        self, repo: RepoRecord, keep: Collection[str], before: int, *, dry_run: bool
    ) -> list[str]:
        """Forget the LFS objects of a repo but for `keep`, the files of a bucket, and what was used since `before`.

        Returns what is forgotten.
        """
        query = (
            "SELECT oid FROM objects WHERE repo = ? AND used < ? AND NOT EXISTS "
            "(SELECT 1 FROM bucket_files AS file WHERE file.repo = objects.repo AND file.oid = objects.oid)"
        )
        with self._database.transaction() as connection:
            rows = connection.execute(query, (repo.key, before)).fetchall()
            unused = [row["oid"] for row in rows if row["oid"] not in keep]
            if not dry_run:
                connection.executemany(
                    "DELETE FROM objects WHERE repo = ? AND oid = ?",
                    [(repo.key, oid) for oid in unused],
                )
        return unused

    def release(self, repo: RepoRecord, oids: Iterable[str]) -> list[str]:
        """Let a repo hold `oids` no longer; those that no other repo holds."""
        orphans = []
        with self._database.transaction() as connection:
            for oid in oids:
                connection.execute(
                    "DELETE FROM objects WHERE repo = ? AND oid = ?", (repo.key, oid)
                )
                if not connection.execute("SELECT 1 FROM objects WHERE oid = ?", (oid,)).fetchone():
                    orphans.append(oid)
        return orphans

    def linked(self, repo: RepoRecord, oids: Iterable[str]) -> dict[str, int]:
        """Which of `oids` a repo holds, with their sizes."""
        query = "SELECT oid, size FROM objects WHERE repo = ? AND oid = ?"
        rows = (self._database.row(query, repo.key, oid) for oid in oids)
        return {row["oid"]: row["size"] for row in rows if row is not None}

    def use(self, repo: RepoRecord, oids: Iterable[str]) -> dict[str, int]:
        """As `linked`; what is held is not garbage from now on."""
        held = self.linked(repo, oids)
        stale = "SELECT 1 FROM objects WHERE repo = ? AND oid = ? AND used < ?"
        before = time.time() - FRESH
        if any(self._database.row(stale, repo.key, oid, before) for oid in held):
            return self.share(repo, repo, held)
        return held

    def sizes(self, repo: RepoRecord) -> set[int]:
        """The sizes of a repo's LFS objects."""
        rows = self._database.rows("SELECT DISTINCT size FROM objects WHERE repo = ?", repo.key)
        return {row["size"] for row in rows}

    def held(self, repo: RepoRecord) -> list[Held]:
        """The LFS objects of a repo, largest first."""
        query = "SELECT oid, size, used FROM objects WHERE repo = ? ORDER BY size DESC, oid"
        return [from_row(Held, row) for row in self._database.rows(query, repo.key)]

    def used_storage(self, repo: RepoRecord) -> int:
        """The bytes of a repo's LFS objects."""
        (row,) = self._database.rows("SELECT sum(size) FROM objects WHERE repo = ?", repo.key)
        return row[0] or 0

    def _repo(self, condition: str, *values: Any) -> RepoRecord | None:
        # Only constants of this class are written into the statement.
        row = self._database.row(f"SELECT * FROM repos WHERE {condition}", *values)  # noqa: S608
        return from_row(RepoRecord, row) if row else None

    @contextmanager
    def _named(
        self, kind: RepoType, namespace: str, name: str, taken: str
    ) -> Iterator[sqlite3.Connection]:
        """A transaction that gives a repo a name; raises AlreadyExistsError with the message `taken`."""
        try:
            with self._database.transaction() as connection:
                yield connection
                connection.execute(
                    "DELETE FROM moves WHERE type = ? AND namespace = ? AND name = ?",
                    (kind, namespace, name),
                )
        except sqlite3.IntegrityError:
            raise AlreadyExistsError(taken) from None
