"""Which xorbs a store has and who may refer to them, and the large files that are made of them."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import Final, NamedTuple

from ggez_hub.embedded.catalog import FRESH, RepoRecord
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import InvalidRequestError, PurgedError
from ggez_hub.embedded.xet.hashing import to_hex
from ggez_hub.embedded.xet.shard import FileInfo

_GENERATION: Final = "xet generation"
# How many files with a chunk are looked at for one that the caller may read.
_MOST_MATCHES: Final = 100


class Match(NamedTuple):
    """A file that has a chunk, a repo that holds the file, and the xorb that the chunk is in."""

    oid: str
    xorb: str
    repo: RepoRecord


class XetCatalog:
    """The tables of Xet. Hashes are hexadecimal, as the API writes them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @property
    def generation(self) -> str:
        """A name that changes when xorbs are removed.

        Clients remember for weeks what they sent to an address; with this in it, they forget.
        """
        return self._database.secret(_GENERATION).hex()[:16]

    def link(self, repo: RepoRecord, xorb: str, size: int, account: str) -> None:
        """Record a xorb, to which the files of a repo may refer; until one does, it counts against `account`."""
        with self._database.transaction() as connection:
            query = "INSERT OR IGNORE INTO xorbs (hash, size, account) VALUES (?, ?, ?)"
            connection.execute(query, (xorb, size, account))
            _offer(connection, repo, xorb)

    def offer(self, repo: RepoRecord, xorbs: Iterable[str]) -> None:
        """Let the files of a repo refer to those of `xorbs` that are still there."""
        with self._database.transaction() as connection:
            for xorb in xorbs:
                _offer(connection, repo, xorb)

    def use(self, repo: RepoRecord, xorb: str) -> bool:
        """Whether the files of a repo may refer to a xorb, which is not garbage from now on."""
        row = self._database.row(
            "SELECT used FROM repo_xorbs WHERE repo = ? AND xorb = ?", repo.key, xorb
        )
        if row is not None and row["used"] < time.time() - FRESH:
            self.offer(repo, [xorb])
        return row is not None

    def add(
        self, repo: RepoRecord, files: Iterable[tuple[FileInfo, Iterable[tuple[str, str]]]]
    ) -> None:
        """Record that a repo holds files; by the chunks of each, with their xorbs, others find it.

        Raises InvalidRequestError if the repo or a xorb has been removed, PurgedError.
        """
        try:
            with self._database.transaction() as connection:
                for file, chunks in files:
                    oid = file.sha256
                    if connection.execute(
                        "SELECT 1 FROM purged WHERE digest = ?", (oid,)
                    ).fetchone():
                        raise PurgedError
                    connection.execute(
                        "INSERT OR REPLACE INTO xet_files VALUES (?, ?, ?)",
                        (oid, to_hex(file.hash), file.encode()),
                    )
                    connection.executemany(
                        "INSERT INTO xet_terms VALUES (?, ?)",
                        [(oid, to_hex(xorb)) for xorb in {term.xorb for term in file.terms}],
                    )
                    connection.executemany(
                        "UPDATE xorbs SET account = NULL WHERE hash = ? AND account IS NOT NULL",
                        [(to_hex(xorb),) for xorb in {term.xorb for term in file.terms}],
                    )
                    connection.executemany(
                        "INSERT OR IGNORE INTO xet_chunks VALUES (?, ?, ?)",
                        [(chunk, oid, xorb) for chunk, xorb in chunks],
                    )
                    connection.execute(
                        "INSERT INTO objects (repo, oid, size, used) VALUES (?, ?, ?, strftime('%s', 'now')) "
                        "ON CONFLICT DO UPDATE SET used = excluded.used",
                        (repo.key, oid, file.size),
                    )
        except sqlite3.IntegrityError:
            raise InvalidRequestError("The repo or a xorb was removed: upload again") from None

    def file(self, oid: str) -> FileInfo | None:
        """What a large file is made of; None if it did not come by Xet."""
        row = self._database.row("SELECT content FROM xet_files WHERE oid = ?", oid)
        return FileInfo.decode(row["content"]) if row else None

    def by_hash(self, digest: str) -> FileInfo | None:
        """What a file of that hash of Xet is made of, in whichever repo; None if there is none."""
        row = self._database.row("SELECT content FROM xet_files WHERE hash = ?", digest)
        return FileInfo.decode(row["content"]) if row else None

    def hashes(self, oids: Iterable[str]) -> dict[str, str]:
        """The hashes of Xet of those large files that came by Xet."""
        rows = (
            self._database.row("SELECT oid, hash FROM xet_files WHERE oid = ?", oid) for oid in oids
        )
        return {row["oid"]: row["hash"] for row in rows if row is not None}

    def held(self, repo: RepoRecord, digest: str) -> FileInfo | None:
        """The file of that hash, if a repo holds it."""
        row = self._database.row(
            "SELECT content FROM xet_files JOIN objects USING (oid) WHERE repo = ? AND hash = ?",
            repo.key,
            digest,
        )
        return FileInfo.decode(row["content"]) if row else None

    def find(self, chunk: str) -> list[Match]:
        """The files that have a chunk, newest repo first."""
        rows = self._database.rows(
            "SELECT oid, xorb, repos.* FROM xet_chunks JOIN objects USING (oid) "
            "JOIN repos ON repos.key = repo WHERE chunk = ? ORDER BY repos.key DESC LIMIT ?",
            chunk,
            _MOST_MATCHES,
        )
        return [Match(row["oid"], row["xorb"], from_row(RepoRecord, row)) for row in rows]

    def remove_unused(self) -> list[str]:
        """Remove the files that no repo holds, and the xorbs that nothing refers to: these."""
        with self._database.transaction() as connection:
            return remove_unused(connection)


def remove_unused(connection: sqlite3.Connection, before: int = 0) -> list[str]:
    """Remove the files that no repo holds, and the xorbs that nothing refers to: these.

    A repo may no longer refer to xorbs that its files have no need of, and that were last used before
    `before`.
    """
    connection.execute("DELETE FROM xet_files WHERE oid NOT IN (SELECT oid FROM objects)")
    refused = connection.execute(
        "DELETE FROM repo_xorbs WHERE used < ? AND NOT EXISTS (SELECT 1 FROM xet_terms "
        "JOIN objects USING (oid) WHERE objects.repo = repo_xorbs.repo "
        "AND xet_terms.xorb = repo_xorbs.xorb)",
        (before,),
    )
    unused = connection.execute(
        "DELETE FROM xorbs WHERE hash NOT IN (SELECT xorb FROM repo_xorbs) "
        "AND hash NOT IN (SELECT xorb FROM xet_terms) RETURNING hash"
    ).fetchall()
    if unused or refused.rowcount:
        connection.execute("DELETE FROM secrets WHERE name = ?", (_GENERATION,))
    return [row["hash"] for row in unused]


def _offer(connection: sqlite3.Connection, repo: RepoRecord, xorb: str) -> None:
    connection.execute(
        "INSERT INTO repo_xorbs (repo, xorb, used) SELECT ?, hash, strftime('%s', 'now') FROM xorbs "
        "WHERE hash = ? ON CONFLICT DO UPDATE SET used = excluded.used",
        (repo.key, xorb),
    )
