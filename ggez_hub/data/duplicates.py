"""The index of what was seen, on disk: its memory does not grow with the number of examples.

Entries are numbered in the order of the output, and a lookup sees only what comes before. So the
answers for a part are the same when it is done again after a kill, with its own entries in the
index already.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ggez_hub.data.signatures import bands, near_keys, picture_keys, similarity

CACHE_KIB = 64 << 10
# sqlite's integers are signed.
SIGN = 1 << 63
WRAP = 1 << 64
# No limit, as sqlite writes it.
ALL = -1


class Item(NamedTuple):
    """What is known of an example: see ggez_hub.data.signatures. `key` is exact equality."""

    name: str
    key: bytes
    phash: int | None
    minhash: bytes | None


class Match(NamedTuple):
    """An earlier example that is the same, and whether exactly."""

    name: str
    exact: bool


@dataclass(frozen=True)
class Likeness:
    """When two items are the same.

    both    pictures within `distance` bits and texts at least `similarity` alike; where neither has
            a picture, the texts alone
    picture, text   that alone
    either  the picture; or the text, where the earlier one has no picture
    """

    by: Literal["both", "picture", "text", "either"]
    distance: int
    similarity: float


class Index:
    """Items in a file.

    Of the earlier items that share a key with one, the first `most` are compared with it; so texts
    of one template, which all share keys, cost no more than others.
    """

    def __init__(self, path: Path, likeness: Likeness, most: int = ALL) -> None:
        self._likeness = likeness
        self._most = most
        self._base = sqlite3.connect(path)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=NORMAL",
            f"PRAGMA cache_size=-{CACHE_KIB}",
            "CREATE TABLE IF NOT EXISTS items (ordinal INTEGER PRIMARY KEY, name TEXT,"
            " phash INTEGER, minhash BLOB)",
            "CREATE TABLE IF NOT EXISTS keys (key BLOB PRIMARY KEY, ordinal INTEGER) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS slots (slot INTEGER, bits INTEGER,"
            " ordinal INTEGER, PRIMARY KEY (slot, bits, ordinal)) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS bands (band INTEGER, hash BLOB,"
            " ordinal INTEGER, PRIMARY KEY (band, hash, ordinal)) WITHOUT ROWID",
        ):
            self._base.execute(statement)

    def match(self, item: Item, ordinal: int) -> Match | None:
        """The first entry before `ordinal` that is the same as `item`."""
        if self._likeness.by != "either":
            row = self._base.execute(
                "SELECT name FROM keys JOIN items USING (ordinal) WHERE key = ? AND ordinal < ?",
                (item.key, ordinal),
            ).fetchone()
            if row is not None:
                return Match(row[0], True)
        near = self._near(item, ordinal)
        return Match(near, False) if near is not None else None

    def add(self, item: Item, ordinal: int) -> None:
        """Enter an item; entering it again changes nothing."""
        run = self._base.execute
        run("INSERT OR IGNORE INTO keys VALUES (?, ?)", (item.key, ordinal))
        run(
            "INSERT OR IGNORE INTO items VALUES (?, ?, ?, ?)",
            (ordinal, item.name, _signed(item.phash), item.minhash),
        )
        if item.phash is not None and self._likeness.by != "text":
            for slot, bits in enumerate(picture_keys(item.phash)):
                run("INSERT OR IGNORE INTO slots VALUES (?, ?, ?)", (slot, bits, ordinal))
        if self._by_text(item):
            for band, value in enumerate(bands(item.minhash or b"", self._likeness.similarity)):
                run("INSERT OR IGNORE INTO bands VALUES (?, ?, ?)", (band, value, ordinal))

    def commit(self) -> None:
        """Make what was entered last."""
        self._base.commit()

    def close(self) -> None:
        """Commit and close the file."""
        self._base.commit()
        self._base.close()

    def _by_text(self, item: Item) -> bool:
        """Whether an entry is found by its text."""
        if item.minhash is None or self._likeness.by == "picture":
            return False
        return self._likeness.by == "text" or item.phash is None

    def _near(self, item: Item, ordinal: int) -> str | None:
        by = self._likeness.by
        if item.phash is not None and by != "text":
            for name, minhash in self._near_pictures(item.phash, ordinal):
                if by != "both" or self._alike(item.minhash, minhash):
                    return name
        if by in {"text", "either"} or (by == "both" and item.phash is None):
            return self._near_text(item, ordinal)
        return None

    def _near_pictures(self, phash: int, ordinal: int) -> list[tuple[str, bytes | None]]:
        found: set[int] = set()
        for slot, key in enumerate(picture_keys(phash)):
            for bits in near_keys(key, self._likeness.distance):
                rows = self._base.execute(
                    "SELECT ordinal FROM slots WHERE slot = ? AND bits = ? AND ordinal < ?",
                    (slot, bits, ordinal),
                )
                found.update(number for (number,) in rows)
        near = []
        for number in sorted(found):
            name, other, minhash = self._item(number)
            if (phash ^ ((other or 0) % WRAP)).bit_count() <= self._likeness.distance:
                near.append((name, minhash))
        return near

    def _near_text(self, item: Item, ordinal: int) -> str | None:
        if item.minhash is None:
            return None
        found: set[int] = set()
        for band, value in enumerate(bands(item.minhash, self._likeness.similarity)):
            rows = self._base.execute(
                "SELECT ordinal FROM bands WHERE band = ? AND hash = ? AND ordinal < ?",
                (band, value, ordinal),
            )
            found.update(number for (number,) in rows)
        for number in sorted(found):
            name, _, minhash = self._item(number)
            if self._alike(item.minhash, minhash):
                return name
        return None

    def _item(self, number: int) -> tuple[str, int | None, bytes | None]:
        row: tuple[str, int | None, bytes | None] = self._base.execute(
            "SELECT name, phash, minhash FROM items WHERE ordinal = ?", (number,)
        ).fetchone()
        return row

    def _alike(self, first: bytes | None, second: bytes | None) -> bool:
        if first is None or second is None:
            return False
        return similarity(first, second) >= self._likeness.similarity


def _signed(value: int | None) -> int | None:
    return value - WRAP if value is not None and value >= SIGN else value
