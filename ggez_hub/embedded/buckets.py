"""The files of buckets: repos without a history, whose files come by Xet.

A file is a path and the large file that stands there; what is replaced or deleted is garbage, unless another path
has it.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final, NamedTuple

from ggez_hub.embedded.access_control import Principal
from ggez_hub.embedded.catalog import RepoRecord
from ggez_hub.embedded.database import Database, from_row
from ggez_hub.embedded.errors import HubError, InvalidPathError, TooLargeError

EMPTY: Final = hashlib.sha256().hexdigest()
# They are counted for each answer about a bucket.
MOST_FILES: Final = 100_000
_SELECT: Final = (
    "SELECT path, oid, size, hash, mtime, uploaded FROM bucket_files JOIN objects USING (repo, oid) "
    "LEFT JOIN xet_files USING (oid)"
)


@dataclass(frozen=True, slots=True)
class BucketFile:
    """A file; `hash` is that of Xet. `mtime` is in milliseconds since 1970, `uploaded` in seconds."""

    path: str
    oid: str
    size: int
    hash: str | None
    mtime: int | None
    uploaded: int


@dataclass(frozen=True, slots=True)
class BucketFolder:
    """A folder of files; `uploaded` is of the first of them."""

    path: str
    uploaded: int


class Totals(NamedTuple):
    """How many files a bucket has, and their bytes."""

    files: int
    size: int


class Buckets:
    """The files of the buckets of a store."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def totals(self, bucket: RepoRecord) -> Totals:
        """How many files a bucket has, and their bytes."""
        query = "SELECT count(*), coalesce(sum(size), 0) FROM bucket_files JOIN objects USING (repo, oid) WHERE repo = ?"
        return Totals(*self._database.rows(query, bucket.key)[0])

    def of(
        self, namespace: str, principal: Principal | None, words: str, offset: int, limit: int
    ) -> list[RepoRecord]:
        """The buckets of a namespace that the caller may see, by name."""
        inside = principal is not None and principal.belongs_to(namespace)
        rows = self._database.rows(
            "SELECT * FROM repos WHERE type = 'bucket' AND namespace = ? AND (? OR private = 0) "
            "AND instr(lower(name), ?) ORDER BY name LIMIT ? OFFSET ?",
            *(namespace, inside, words.lower(), limit, offset),
        )
        return [from_row(RepoRecord, row) for row in rows]

    def find(self, bucket: RepoRecord, paths: Iterable[str]) -> list[BucketFile]:
        """Those of the files that are there."""
        query = f"{_SELECT} WHERE repo = ? AND path = ?"
        rows = (self._database.row(query, bucket.key, path) for path in paths)
        return [from_row(BucketFile, row) for row in rows if row is not None]

    def files(self, bucket: RepoRecord, prefix: str, after: str, limit: int) -> list[BucketFile]:
        """The files whose paths begin with `prefix` and follow `after`, at most `limit`."""
        rows = self._database.rows(
            f"{_SELECT} WHERE repo = ? AND path > ? AND path >= ? AND path < ? ORDER BY path LIMIT ?",
            *(bucket.key, after, prefix, _behind(prefix), limit),
        )
        return [from_row(BucketFile, row) for row in rows]

    def entries(
        self, bucket: RepoRecord, prefix: str, after: str, limit: int
    ) -> Iterator[BucketFile | BucketFolder]:
        """The same, with folders in place of what is below them; `after` may be a folder's path with a slash."""
        for _ in range(limit):
            # Nothing that is below a folder is read but its first file.
            found = self.files(bucket, prefix, _behind(after) if after.endswith("/") else after, 1)
            if not found:
                return
            [file] = found
            start = len(prefix) + (file.path[len(prefix) : len(prefix) + 1] == "/")
            end = file.path.find("/", start)
            if end < 0:
                after = file.path
                yield file
            else:
                after = file.path[: end + 1]
                yield BucketFolder(file.path[:end], file.uploaded)

    @contextmanager
    def change(self, bucket: RepoRecord) -> Iterator[BucketEdit]:
        """Changes that all happen at the end of the block, or not at all."""
        with self._database.transaction() as connection:
            yield BucketEdit(connection, bucket)


class BucketEdit:
    """Files that come and go in one transaction."""

    def __init__(self, connection: sqlite3.Connection, bucket: RepoRecord) -> None:
        self._connection = connection
        self._bucket = bucket
        query = "SELECT count(*) FROM bucket_files WHERE repo = ?"
        (self._count,) = connection.execute(query, (bucket.key,)).fetchone()

    def put(self, path: str, oid: str, mtime: int | None, content_type: str | None) -> None:
        """Have a large file that the bucket holds at a path, which was checked.

        Raises InvalidPathError if the path has a file for a folder, or is a folder, TooLargeError, HubError if the
        bucket holds the file no longer.
        """
        key = self._bucket.key
        parts = path.split("/")
        parents = ["/".join(parts[:depth]) for depth in range(1, len(parts))]
        query = (
            "SELECT 1 FROM bucket_files WHERE repo = ? AND (path IN (SELECT value FROM json_each(?)) "
            "OR (path > ? AND path < ?)) LIMIT 1"
        )
        below = (f"{path}/", f"{path}0")
        if self._connection.execute(query, (key, json.dumps(parents), *below)).fetchone():
            raise InvalidPathError("a file and a folder cannot have one name")
        query = "SELECT 1 FROM bucket_files WHERE repo = ? AND path = ?"
        is_new = self._connection.execute(query, (key, path)).fetchone() is None
        if is_new and self._count >= MOST_FILES:
            raise TooLargeError(f"A bucket has at most {MOST_FILES} files")
        if oid == EMPTY:
            query = "INSERT OR IGNORE INTO objects (repo, oid, size) VALUES (?, ?, 0)"
            self._connection.execute(query, (key, oid))
        query = "UPDATE objects SET used = strftime('%s', 'now') WHERE repo = ? AND oid = ?"
        if self._connection.execute(query, (key, oid)).rowcount != 1:
            raise HubError("the file was removed meanwhile: upload it again", 404)
        self._connection.execute(
            "INSERT OR REPLACE INTO bucket_files (repo, path, oid, mtime, content_type) "
            "VALUES (?, ?, ?, ?, ?)",
            (key, path, oid, mtime, content_type),
        )
        self._count += is_new

    def remove(self, path: str) -> bool:
        """Remove a file; whether it was there."""
        query = "DELETE FROM bucket_files WHERE repo = ? AND path = ?"
        removed = self._connection.execute(query, (self._bucket.key, path)).rowcount
        self._count -= removed
        return removed == 1


def _behind(prefix: str) -> str:
    """What follows all that begins with a prefix."""
    return prefix + "\U0010ffff"
