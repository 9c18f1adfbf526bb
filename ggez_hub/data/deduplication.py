"""The index of what was seen, on disk: its memory does not grow with the number of examples.

Entries are numbered in the order of the output, and a lookup sees only what comes before. So the
answers for a part are the same when it is done again after a kill, with its own entries in the
index already.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.data.spec import DuplicatesSpec
from ggez_hub.extras import require

PERMUTATIONS = 128
SHINGLE = 5
LONGEST = 4000
# Above this there would be a single band, which one differing value hides.
HIGHEST = 0.95


def normalised(text: str) -> str:
    """A text without what does not tell it from another: case, width, spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def digest(picture: bytes | None, text: str) -> bytes:
    """16 bytes that two examples share if picture (its sha256) and normalised text are equal."""
    hashed = hashlib.blake2b(picture or b"", digest_size=16)
    hashed.update(normalised(text).encode("utf-8", "surrogatepass"))
    return hashed.digest()


def minhash(text: str) -> bytes:
    """The MinHash of a text's character 5-grams: PERMUTATIONS uint32, little-endian.

    Characters, not words: Thai, Lao, Khmer and Burmese put no spaces between words.
    """
    folded = normalised(text)[:LONGEST]
    grams = {folded[n : n + SHINGLE] for n in range(max(1, len(folded) - SHINGLE + 1))}
    sketch = _sketch()
    sketch.clear()
    sketch.update_batch([gram.encode("utf-8", "surrogatepass") for gram in grams])
    return np.asarray(sketch.hashvalues, dtype="<u4").tobytes()


def similarities(sketch: bytes, others: Sequence[bytes]) -> NDArray[np.float64]:
    """The Jaccard similarities that MinHashes estimate of one to others: (N,), 0 to 1."""
    return np.asarray((_values(b"".join(others)) == _values(sketch)).mean(axis=1))


def bands(sketch: bytes, threshold: float) -> list[bytes]:
    """The keys under which a MinHash is found by those that are `threshold` similar to it."""
    count, rows = _layout(threshold)
    width = rows * 4
    return [
        hashlib.blake2b(sketch[n * width : (n + 1) * width], digest_size=8).digest()
        for n in range(count)
    ]


def picture_keys(phash: int) -> list[int]:
    """Four slots of 16 bits: hashes that differ in at most 3 bits share one of them."""
    return [(phash >> (16 * slot)) & 0xFFFF for slot in range(4)]


def near_keys(key: int, distance: int) -> list[int]:
    """The slot, and with a distance from 4 to 7 those that differ from it in one bit."""
    return [key, *(key ^ (1 << bit) for bit in range(16))] if distance > 3 else [key]


def _values(sketch: bytes) -> NDArray[np.uint32]:
    return np.frombuffer(sketch, dtype="<u4").reshape(-1, PERMUTATIONS)


@cache
def _sketch() -> Any:
    """A sketch that is filled again and again: a copy would check its permutations each time."""
    require("data", "datasketch")
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS)


@cache
def _layout(threshold: float) -> tuple[int, int]:
    """Bands and rows that datasketch chooses for a threshold.

    What is found is compared in full, so that missing a pair weighs more than looking in vain.
    """
    require("data", "datasketch")
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=min(threshold, HIGHEST), num_perm=PERMUTATIONS, weights=(0.1, 0.9))
    return int(index.b), int(index.r)


CACHE_KIB = 64 << 10
# sqlite's integers are signed.
SIGN = 1 << 63
WRAP = 1 << 64
# No limit, as sqlite writes it.
ALL = -1
# How many texts are compared with one at once.
AT_ONCE = 512


class Item(NamedTuple):
    """What is known of an example: see ggez_hub.data.deduplication. `key` is exact equality."""

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
    """

    by: Literal["both", "picture", "text"]
    distance: int
    similarity: float


class DuplicateIndex:
    """Items in a file.

    Of the earlier texts that share a key with one, the first `most` of each key are compared with
    it: texts of one template, which all share keys, would cost more the more there are. `crowded`
    counts the lookups in which there were more.
    """

    def __init__(self, path: Path, likeness: Likeness, most: int = ALL) -> None:
        self._likeness = likeness
        self._most = most
        self.crowded = 0
        self._base = sqlite3.connect(path)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=NORMAL",
            f"PRAGMA cache_size=-{CACHE_KIB}",
            "CREATE TABLE IF NOT EXISTS items (ordinal INTEGER PRIMARY KEY, name TEXT,"
            " phash INTEGER, minhash BLOB)",
            "CREATE TABLE IF NOT EXISTS keys (key BLOB PRIMARY KEY, ordinal INTEGER) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS slots (slot INTEGER, bits INTEGER,"
            " ordinal INTEGER, phash INTEGER, PRIMARY KEY (slot, bits, ordinal)) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS bands (band INTEGER, hash BLOB,"
            " ordinal INTEGER, PRIMARY KEY (band, hash, ordinal)) WITHOUT ROWID",
        ):
            self._base.execute(statement)

    def match(self, item: Item, ordinal: int) -> Match | None:
        """The first entry before `ordinal` that is the same as `item`."""
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
                run(
                    "INSERT OR IGNORE INTO slots VALUES (?, ?, ?, ?)",
                    (slot, bits, ordinal, _signed(item.phash)),
                )
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
        return self._likeness.by != "both" or item.phash is None

    def _near(self, item: Item, ordinal: int) -> str | None:
        by = self._likeness.by
        if item.phash is not None and by != "text":
            near = self._near_pictures(item.phash, ordinal)
            if by != "both":
                if near:
                    return self._name(near[0])
            elif name := self._first_alike(item, self._first(near)):
                return name
        if by == "text" or (by == "both" and item.phash is None):
            return self._near_text(item, ordinal)
        return None

    def _near_pictures(self, phash: int, ordinal: int) -> list[int]:
        """The entries whose picture is near, in their order."""
        found: set[int] = set()
        for slot, key in enumerate(picture_keys(phash)):
            for bits in near_keys(key, self._likeness.distance):
                rows = self._base.execute(
                    "SELECT ordinal, phash FROM slots WHERE slot = ? AND bits = ? AND ordinal < ?",
                    (slot, bits, ordinal),
                )
                found.update(
                    number
                    for number, other in rows
                    if (phash ^ (other % WRAP)).bit_count() <= self._likeness.distance
                )
        return sorted(found)

    def _near_text(self, item: Item, ordinal: int) -> str | None:
        if item.minhash is None:
            return None
        found: set[int] = set()
        crowded = False
        for band, value in enumerate(bands(item.minhash, self._likeness.similarity)):
            rows = self._base.execute(
                "SELECT ordinal FROM bands WHERE band = ? AND hash = ? AND ordinal < ?"
                " ORDER BY ordinal LIMIT ?",
                (band, value, ordinal, self._most),
            ).fetchall()
            crowded |= len(rows) == self._most
            found.update(number for (number,) in rows)
        self.crowded += crowded
        return self._first_alike(item, sorted(found))

    def _first(self, numbers: list[int]) -> list[int]:
        """As many as are compared."""
        if self._most == ALL or len(numbers) < self._most:
            return numbers
        self.crowded += 1
        return numbers[: self._most]

    def _first_alike(self, item: Item, numbers: list[int]) -> str | None:
        """The first of the entries whose text is like that of `item`, its picture aside."""
        if item.minhash is None:
            return None
        for start in range(0, len(numbers), AT_ONCE):
            rows = self._base.execute(
                "SELECT name, minhash FROM items WHERE minhash IS NOT NULL"
                " AND ordinal IN (SELECT value FROM json_each(?)) ORDER BY ordinal",
                (json.dumps(numbers[start : start + AT_ONCE]),),
            ).fetchall()
            if not rows:
                continue
            alike = similarities(item.minhash, [other for _, other in rows])
            if (alike >= self._likeness.similarity).any():
                return str(rows[int((alike >= self._likeness.similarity).argmax())][0])
        return None

    def _name(self, number: int) -> str:
        """The name of an entry."""
        (name,) = self._base.execute(
            "SELECT name FROM items WHERE ordinal = ?", (number,)
        ).fetchone()
        return str(name)


def _signed(value: int | None) -> int | None:
    return value - WRAP if value is not None and value >= SIGN else value


def marks(
    rule: DuplicatesSpec, sha256: bytes | None, phash: int | None, text: str
) -> dict[str, Any]:
    """`key`, `phash` and `minhash` of a picture's bytes (None without one) and a text.

    See ggez_hub.data.deduplication.Item. The text is compared where it decides, and where there is no
    picture to compare; texts that have to be equal are found by their digest.
    """
    by = rule.by
    equal = by == "text" and rule.similarity == 1.0
    wanted = not equal and (by != "picture" or phash is None)
    return {
        "key": digest(None if by == "text" else sha256, "" if by == "picture" and sha256 else text),
        "phash": phash,
        "minhash": minhash(text) if wanted else None,
    }
