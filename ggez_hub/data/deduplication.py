"""Deduplication: what makes two examples alike, and the index on disk of those that were seen."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.extras import require

if TYPE_CHECKING:
    from ggez_hub.data.rows import Row
    from ggez_hub.data.spec import DuplicatesSpec

PERMUTATIONS = 128
SHINGLE = 5
LONGEST = 4000
# Above this there would be a single band, which one differing value hides.
HIGHEST = 0.95
CACHE_KIB = 64 << 10
# How many earlier texts of each key one is compared with: texts of one template share all keys, and
# would cost more the more there are.
COMPARED = 64
WRAP = 1 << 64


class DuplicateIndex:
    """Rows in a file: memory does not grow with their number.

    Rows are numbered in the order of the output, and a lookup sees only what comes before. So the
    answers for a part are the same when it is done again after a kill, with its own rows in the
    index already. `crowded` counts the lookups that compared only some of the earlier texts.
    """

    def __init__(self, path: Path, rule: DuplicatesSpec) -> None:
        self._rule = rule
        self.crowded = 0
        self._base = sqlite3.connect(path)
        for statement in (
            "PRAGMA journal_mode=WAL",
            "PRAGMA synchronous=NORMAL",
            f"PRAGMA cache_size=-{CACHE_KIB}",
            "CREATE TABLE IF NOT EXISTS items (ordinal INTEGER PRIMARY KEY, name TEXT,"
            " minhash BLOB)",
            "CREATE TABLE IF NOT EXISTS keys (key BLOB PRIMARY KEY, ordinal INTEGER) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS slots (slot INTEGER, bits INTEGER,"
            " ordinal INTEGER, phash INTEGER, PRIMARY KEY (slot, bits, ordinal)) WITHOUT ROWID",
            "CREATE TABLE IF NOT EXISTS bands (band INTEGER, hash BLOB,"
            " ordinal INTEGER, PRIMARY KEY (band, hash, ordinal)) WITHOUT ROWID",
        ):
            self._base.execute(statement)

    def match(self, row: Row, ordinal: int) -> tuple[str, bool] | None:
        """The first row before `ordinal` that is the same as `row`, and whether exactly."""
        found = self._base.execute(
            "SELECT name FROM keys JOIN items USING (ordinal) WHERE key = ? AND ordinal < ?",
            (row.key, ordinal),
        ).fetchone()
        if found is not None:
            return found[0], True
        name = self._near(row, ordinal)
        return None if name is None else (name, False)

    def add(self, row: Row, ordinal: int) -> None:
        """Enter a row; entering it again changes nothing."""
        run = self._base.execute
        run("INSERT OR IGNORE INTO keys VALUES (?, ?)", (row.key, ordinal))
        run("INSERT OR IGNORE INTO items VALUES (?, ?, ?)", (ordinal, row.id, row.minhash))
        if row.phash is not None and self._rule.by != "text":
            # sqlite's integers are signed.
            signed = row.phash - WRAP if row.phash >= WRAP >> 1 else row.phash
            for slot, bits in enumerate(_slots(row.phash)):
                run(
                    "INSERT OR IGNORE INTO slots VALUES (?, ?, ?, ?)", (slot, bits, ordinal, signed)
                )
        if row.minhash is not None and self._is_by_text(row):
            for band, value in enumerate(_bands(row.minhash, self._rule.similarity)):
                run("INSERT OR IGNORE INTO bands VALUES (?, ?, ?)", (band, value, ordinal))

    def commit(self) -> None:
        """Make what was entered last."""
        self._base.commit()

    def close(self) -> None:
        self._base.commit()
        self._base.close()

    def _is_by_text(self, row: Row) -> bool:
        return self._rule.by == "text" or (self._rule.by == "both" and row.phash is None)

    def _near(self, row: Row, ordinal: int) -> str | None:
        """The name of the first row before `ordinal` that is nearly the same."""
        if self._is_by_text(row):
            return self._first_alike(row, sorted(set(self._near_texts(row, ordinal))))
        if row.phash is None:
            return None
        near = sorted(set(self._near_pictures(row.phash, ordinal)))
        if self._rule.by == "both":
            self.crowded += len(near) >= COMPARED
            return self._first_alike(row, near[:COMPARED])
        return self._names(near[:1])[0][0] if near else None

    def _near_pictures(self, phash: int, ordinal: int) -> Iterator[int]:
        """The rows whose picture is within the distance."""
        distance = self._rule.distance
        for slot, key in enumerate(_slots(phash)):
            # With a distance from 4 to 7 one slot of two near hashes differs in at most one bit.
            keys = [key, *(key ^ (1 << bit) for bit in range(16))] if distance > 3 else [key]
            for bits in keys:
                rows = self._base.execute(
                    "SELECT ordinal, phash FROM slots WHERE slot = ? AND bits = ? AND ordinal < ?",
                    (slot, bits, ordinal),
                )
                for number, other in rows:
                    if (phash ^ (other % WRAP)).bit_count() <= distance:
                        yield number

    def _near_texts(self, row: Row, ordinal: int) -> Iterator[int]:
        """Rows whose text shares a key."""
        crowded = False
        keys = _bands(row.minhash, self._rule.similarity) if row.minhash is not None else []
        for band, value in enumerate(keys):
            rows = self._base.execute(
                "SELECT ordinal FROM bands WHERE band = ? AND hash = ? AND ordinal < ?"
                " ORDER BY ordinal LIMIT ?",
                (band, value, ordinal, COMPARED),
            ).fetchall()
            crowded |= len(rows) == COMPARED
            yield from (number for (number,) in rows)
        self.crowded += crowded

    def _first_alike(self, row: Row, numbers: list[int]) -> str | None:
        """The name of the first of the rows whose text is similar to that of `row`."""
        if row.minhash is None or not (rows := self._names(numbers)):
            return None
        alike = similarities(row.minhash, [sketch for _, sketch in rows]) >= self._rule.similarity
        return str(rows[int(alike.argmax())][0]) if alike.any() else None

    def _names(self, numbers: list[int]) -> list[tuple[str, bytes]]:
        return self._base.execute(
            "SELECT name, minhash FROM items WHERE ordinal IN (SELECT value FROM json_each(?))"
            " ORDER BY ordinal",
            (json.dumps(numbers),),
        ).fetchall()


def fingerprint(
    rule: DuplicatesSpec, sha256: bytes | None, text: str
) -> tuple[bytes, bytes | None]:
    """Key and MinHash of an example, by its picture's sha256 (None without one) and its text."""
    picture = None if rule.by == "text" else sha256
    key = _digest(picture, "" if rule.by == "picture" and sha256 else text)
    by_minhash = rule.by == "both" or (rule.by == "text" and rule.similarity < 1)
    return key, minhash(text) if by_minhash else None


def normalised(text: str) -> str:
    """A text without differences of case, width and spaces."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def _digest(picture: bytes | None, text: str) -> bytes:
    """16 bytes that are equal where the picture's sha256 and the normalised text are."""
    hashed = hashlib.blake2b(picture or b"", digest_size=16)
    hashed.update(normalised(text).encode("utf-8", "surrogatepass"))
    return hashed.digest()


def minhash(text: str) -> bytes:
    """The MinHash of a text's character 5-grams: PERMUTATIONS uint32, little-endian."""
    folded = normalised(text)[:LONGEST]
    grams = {folded[n : n + SHINGLE] for n in range(max(1, len(folded) - SHINGLE + 1))}
    sketch = _sketch()
    sketch.clear()
    sketch.update_batch([gram.encode("utf-8", "surrogatepass") for gram in grams])
    return np.asarray(sketch.hashvalues, dtype="<u4").tobytes()


def similarities(sketch: bytes, others: Sequence[bytes]) -> NDArray[np.float64]:
    """The Jaccard similarities that MinHashes estimate of one to others: (N,), 0 to 1."""
    values = np.frombuffer(b"".join([sketch, *others]), "<u4").reshape(-1, PERMUTATIONS)
    return np.asarray((values[1:] == values[0]).mean(axis=1))


def _bands(sketch: bytes, threshold: float) -> list[bytes]:
    """The keys under which a MinHash is found by those that are `threshold` similar to it."""
    count, rows = _layout(threshold)
    width = rows * 4
    return [
        hashlib.blake2b(sketch[n * width : (n + 1) * width], digest_size=8).digest()
        for n in range(count)
    ]


@cache
def _sketch() -> Any:
    """A sketch that is filled again and again: a copy would check its permutations each time."""
    require("data", "datasketch")
    from datasketch import MinHash

    return MinHash(num_perm=PERMUTATIONS)


@cache
def _layout(threshold: float) -> tuple[int, int]:
    """Bands and rows by datasketch, where a missed pair weighs more than a vain comparison."""
    require("data", "datasketch")
    from datasketch import MinHashLSH

    index = MinHashLSH(threshold=min(threshold, HIGHEST), num_perm=PERMUTATIONS, weights=(0.1, 0.9))
    return int(index.b), int(index.r)


def _slots(phash: int) -> list[int]:
    """Four slots of 16 bits: hashes that differ in at most 3 bits share one of them."""
    return [(phash >> (16 * slot)) & 0xFFFF for slot in range(4)]
