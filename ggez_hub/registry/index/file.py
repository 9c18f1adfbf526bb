"""The index as one read-only SQLite file, which may come from a stranger.

A row has what ranks a card or rules it out, its path and sha256, and the scores that rank it. The
card itself stays beside the file: one that is taken is read, compared with its sha256 and its row,
and validated.

The file is opened immutable and without extensions, triggers or views: its schema must be exactly
the one below, its values are limited and validated, and a query that does not end is stopped.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import closing, contextmanager
from itertools import count
from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from ggez_hub.cards.curve import Curve
from ggez_hub.cards.readme import MAX_CARD_BYTES
from ggez_hub.cards.values import FilePath, RepoId, Revision, Sha256
from ggez_hub.errors import GgezError
from ggez_hub.registry.index.entries import (
    CardSummary,
    Listing,
    OtherRegion,
    UnreadableCard,
    same_adapter,
)

FORMAT = 2
APPLICATION_ID = 0x6767657A  # "ggez"
MAX_INDEX_BYTES = 1_000_000_000
# A row takes about fifty steps of SQLite's machine.
STEPS_AT_A_TIME, MAX_TIMES = 1_000_000, 2_000

TABLES = (
    "CREATE TABLE entries (id INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 TEXT NOT NULL, "
    "repo TEXT NOT NULL, revision TEXT NOT NULL, region TEXT NOT NULL, family TEXT NOT NULL, "
    "kind TEXT NOT NULL, level TEXT NOT NULL, license TEXT NOT NULL, state TEXT NOT NULL, "
    "reason TEXT NOT NULL, superseded_by TEXT, base_repo TEXT NOT NULL, "
    "base_weights TEXT NOT NULL, registered TEXT, "
    "recommended INTEGER NOT NULL, files BLOB NOT NULL, ranking BLOB NOT NULL)",
    "CREATE TABLE unreadable (id INTEGER PRIMARY KEY, path TEXT NOT NULL, reason TEXT NOT NULL)",
)
INDEXES = (
    "CREATE INDEX places ON entries (region, family, repo)",
    "CREATE INDEX yanked ON entries (repo, reason) WHERE state = 'yanked'",
    "CREATE INDEX repos ON entries (repo COLLATE NOCASE, state)",
)
CURVE: TypeAdapter[Curve] = TypeAdapter(Curve)


class BadIndex(GgezError):
    """An index file cannot be used."""


class IndexRow(CardSummary):
    """An accepted card as the index file holds it; `files` are the sha256s of its files, joined."""

    path: FilePath
    sha256: Sha256
    repo: RepoId
    revision: Revision
    files: bytes


# Cards without a day of registration come after those with one.
NEVER = "9999"
COLUMNS = tuple(IndexRow.model_fields)


def read_index(
    path: Path,
    regions: Collection[str] | None = None,
    repos: Collection[str] | None = None,
    file_sha256: str | None = None,
) -> tuple[list[tuple[IndexRow, bytes]], Listing]:
    """The rows of the index file at `path` for `regions`, of `repos`, or that record a file.

    All of them if nothing is asked for. Each has its packed ranking; the listing has no entries but
    the rest: of two active cards of one repository the later is `unreadable`. Raises BadIndex.
    """
    column, asked = ("region", regions) if repos is None else ("repo", repos)
    chosen = ""
    values: list[str | bytes] = [*sorted(asked or ())]
    if file_sha256 is not None:
        chosen, values = "WHERE instr(files, ?) > 0", [bytes.fromhex(file_sha256)]
    elif asked is not None:
        chosen = f"WHERE {column} IN ({','.join('?' * len(values))})"
    names = ", ".join(COLUMNS)
    with _opened(path) as file:
        rows = [
            (IndexRow(**dict(zip(COLUMNS, row, strict=True))), ranking)
            for *row, ranking in file.execute(
                f"SELECT {names}, ranking FROM entries {chosen} ORDER BY id",  # noqa: S608 - names
                values,
            )
        ]
        unreadable = file.execute("SELECT path, reason FROM unreadable ORDER BY id")
        groups = file.execute(
            "SELECT region, family, count(*), min(repo) FROM entries GROUP BY region, family"
        )
        yanked = file.execute(YANKED)
        second = second_cards(row for row, _ in rows)
        left_out = {bad.path for bad in second}
        return [found for found in rows if found[0].path not in left_out], Listing(
            unreadable=(
                *(UnreadableCard(*map(_printable, row)) for row in unreadable),
                *second,
            ),
            elsewhere=tuple(
                OtherRegion(region=region, family=family, count=number, repo=repo)
                for region, family, number, repo in groups
                if regions is not None and region not in regions
            ),
            yanked={repo.lower(): _printable(reason) for repo, reason in yanked},
        )


# A repository whose wrong card was yanked may have another since.
YANKED = (
    "SELECT repo, reason FROM entries AS old WHERE state = 'yanked' AND NOT EXISTS (SELECT 1 FROM "
    "entries AS new WHERE new.repo = old.repo COLLATE NOCASE AND new.state = 'active')"
)


def second_cards(rows: Iterable[IndexRow]) -> list[UnreadableCard]:
    """Active cards of a repository that has another, which was registered first or has the first path.

    An adapter is named by its repository: one card speaks for it.
    """
    first: dict[str, str] = {}
    second = []
    for row in sorted(rows, key=lambda row: (row.registered or NEVER, row.path)):
        if row.state == "active" and first.setdefault(row.repo.lower(), row.path) != row.path:
            reason = f"{row.path}: {same_adapter(first[row.repo.lower()])}"
            second.append(UnreadableCard(row.path, reason))
    return second


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() or c == "\n" else "?" for c in text)


def pack_ranking(curve: Curve) -> bytes:
    """The rows of a curve that rank it, as a blob."""
    return zlib.compress(CURVE.dump_json(curve, exclude_defaults=True), 9) if curve else b""


def unpack_ranking(packed: bytes) -> Curve:
    """The rows of a curve from a blob; raises BadIndex."""
    if not packed:
        return {}
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(packed, MAX_CARD_BYTES)
        if not unpacker.eof:
            raise BadIndex("a curve in the index file is damaged, or larger than a card may be")
        return CURVE.validate_json(text, strict=True)
    except (zlib.error, ValidationError) as error:
        raise BadIndex("a curve in the index file is damaged") from error


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    if path.stat().st_size > MAX_INDEX_BYTES:
        raise BadIndex(f"{path.name} is larger than {MAX_INDEX_BYTES:,} bytes")
    try:
        uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
        with closing(sqlite3.connect(uri, uri=True)) as file:
            _confine(file)
            _check_schema(file)
            yield file
    except sqlite3.Error as error:
        raise BadIndex(f"{path.name} is not an index file, or it is damaged: {error}") from error
    except (ValidationError, TypeError, ValueError) as error:
        raise BadIndex(f"{path.name} holds a row that no card has: {error}") from error


def _confine(file: sqlite3.Connection) -> None:
    """What SQLite's authors advise for files of strangers: https://sqlite.org/security.html."""
    file.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_CARD_BYTES)
    file.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    file.setlimit(sqlite3.SQLITE_LIMIT_TRIGGER_DEPTH, 0)
    for pragma in ("trusted_schema=OFF", "query_only=ON", "cell_size_check=ON", "mmap_size=0"):
        file.execute(f"PRAGMA {pragma}")
    times = count(1)
    file.set_progress_handler(lambda: next(times) > MAX_TIMES, STEPS_AT_A_TIME)


def _check_schema(file: sqlite3.Connection) -> None:
    (kind,) = file.execute("PRAGMA application_id").fetchone()
    (version,) = file.execute("PRAGMA user_version").fetchone()
    if kind != APPLICATION_ID:
        raise BadIndex("this SQLite file is not an index of adapters")
    if version != FORMAT:
        raise BadIndex(
            f"the index file has the format {version}, this program reads {FORMAT}",
            "Update ggez-hub."
            if version > FORMAT
            else "Build it again: ggez-hub index build cards -o index.sqlite",
        )
    found = {sql for (sql,) in file.execute("SELECT sql FROM sqlite_schema LIMIT 100")}
    if found != {*TABLES, *INDEXES}:
        raise BadIndex("the index file holds other tables than an index does")
