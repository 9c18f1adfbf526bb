"""Deduplication: what makes two examples alike, and the index on disk of those that were seen."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import unicodedata
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.extras import require

if TYPE_CHECKING:
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
# Of how many such keys these are kept in memory: 2 KB each.
REMEMBERED = 4096
WRAP = 1 << 64
# Places of rows, the keys of each (evenly distributed), and the hash that decides with a key: (N,) each.
Keys: TypeAlias = tuple[NDArray[np.int64], NDArray[np.uint64], NDArray[np.uint64]]


class Signature(NamedTuple):
    """What a row is compared by, with its id: see `fingerprint`."""

    id: str
    key: bytes
    phash: int | None
    minhash: bytes | None


class DuplicateIndex:
    """Rows in a new file, entered in the order of the output: memory does not grow with their number.

    `crowded` counts the lookups that compared only some of the texts that share a key.
    """

    def __init__(self, path: Path, rule: DuplicatesSpec) -> None:
        self._path, self._rule = path, rule
        self.crowded = 0
        # The first rows of keys that have enough of them: they stay the first.
        self._full: dict[int, list[int]] = {}
        path.unlink(missing_ok=True)
        self._base = sqlite3.connect(path)
        for statement in (
            # What is not finished is begun anew.
            "PRAGMA journal_mode=OFF",
            "PRAGMA synchronous=OFF",
            f"PRAGMA cache_size=-{CACHE_KIB}",
            "CREATE TABLE items (ordinal INTEGER PRIMARY KEY, name TEXT, key BLOB, phash INTEGER,"
            " minhash BLOB)",
            "CREATE TABLE keys (key BLOB PRIMARY KEY, ordinal INTEGER) WITHOUT ROWID",
            "CREATE TABLE slots (slot INTEGER, bits INTEGER,"
            " ordinal INTEGER, phash INTEGER, PRIMARY KEY (slot, bits, ordinal)) WITHOUT ROWID",
            "CREATE TABLE bands (key INTEGER, ordinal INTEGER, PRIMARY KEY (key, ordinal))"
            " WITHOUT ROWID",
        ):
            self._base.execute(statement)

    def match(self, row: Signature, keys: Sequence[int]) -> Signature | None:
        """The first row with the key of `row`, else the first one that is nearly the same.

        `keys` are those of its text (`near_text_keys`).
        """
        run = self._base.execute
        exact = run("SELECT ordinal FROM keys WHERE key = ?", (row.key,)).fetchone()
        ordinal = self._near(row, keys) if exact is None else exact[0]
        if ordinal is None:
            return None
        query = "SELECT name, key, phash, minhash FROM items WHERE ordinal = ?"
        name, key, phash, minhash = run(query, (ordinal,)).fetchone()
        return Signature(name, key, None if phash is None else phash % WRAP, minhash)

    def add(self, row: Signature, keys: Sequence[int], ordinal: int) -> None:
        """Enter a row behind all others."""
        run = self._base.execute
        # Of rows that were compared before, two may have the same key.
        run("INSERT OR IGNORE INTO keys VALUES (?, ?)", (row.key, ordinal))
        signed = row.phash
        if signed is not None and signed >= WRAP >> 1:
            # sqlite's integers are signed.
            signed -= WRAP
        run(
            "INSERT INTO items VALUES (?, ?, ?, ?, ?)",
            (ordinal, row.id, row.key, signed, row.minhash),
        )
        if row.phash is not None and self._rule.by != "text":
            for slot, bits in enumerate(_slots(row.phash)):
                run("INSERT INTO slots VALUES (?, ?, ?, ?)", (slot, bits, ordinal, signed))
        for key in keys:
            if key not in self._full:
                run("INSERT INTO bands VALUES (?, ?)", (key, ordinal))

    def remove(self) -> None:
        """Close and remove the file."""
        self._base.close()
        self._path.unlink()

    def _near(self, row: Signature, keys: Sequence[int]) -> int | None:
        """The ordinal of the first row that is nearly the same."""
        if _is_by_text(row, self._rule):
            return self._first_alike(row, sorted(set(self._near_texts(keys))))
        if row.phash is None:
            return None
        near = sorted(set(self._near_pictures(row.phash)))
        if self._rule.by == "both":
            self.crowded += len(near) >= COMPARED
            return self._first_alike(row, near[:COMPARED])
        return near[0] if near else None

    def _near_pictures(self, phash: int) -> Iterator[int]:
        """The rows whose picture is within the distance."""
        distance = self._rule.distance
        for slot, key in enumerate(_slots(phash)):
            # With a distance from 4 to 7 one slot of two near hashes differs in at most one bit.
            keys = [key, *(key ^ (1 << bit) for bit in range(16))] if distance > 3 else [key]
            for bits in keys:
                rows = self._base.execute(
                    "SELECT ordinal, phash FROM slots WHERE slot = ? AND bits = ?", (slot, bits)
                )
                for number, other in rows:
                    if (phash ^ (other % WRAP)).bit_count() <= distance:
                        yield number

    def _near_texts(self, keys: Sequence[int]) -> Iterator[int]:
        """The first rows whose text shares a key."""
        crowded = False
        for key in keys:
            if (first := self._full.get(key)) is None:
                query = "SELECT ordinal FROM bands WHERE key = ? ORDER BY ordinal LIMIT ?"
                first = [n for (n,) in self._base.execute(query, (key, COMPARED))]
                if len(first) == COMPARED and len(self._full) < REMEMBERED:
                    self._full[key] = first
            crowded |= len(first) == COMPARED
            yield from first
        self.crowded += crowded

    def _first_alike(self, row: Signature, numbers: list[int]) -> int | None:
        """The first of the rows, which ascend, whose text is similar to that of `row`."""
        if row.minhash is None or not numbers:
            return None
        query = (
            "SELECT minhash FROM items WHERE ordinal IN (SELECT value FROM json_each(?))"
            " ORDER BY ordinal"
        )
        sketches = [sketch for (sketch,) in self._base.execute(query, (json.dumps(numbers),))]
        alike = similarities(row.minhash, sketches) >= self._rule.similarity
        return numbers[int(alike.argmax())] if alike.any() else None


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


def is_alike(row: Signature, other: Signature, rule: DuplicatesSpec) -> bool:
    """Whether two rows are the same by a rule: equal, or near in what they are compared by."""
    if row.key == other.key:
        return True
    by_text = _is_by_text(row, rule)
    if by_text != _is_by_text(other, rule):
        return False
    if not by_text:
        if row.phash is None or other.phash is None:
            return False
        is_near = (row.phash ^ other.phash).bit_count() <= rule.distance
        if not is_near or rule.by == "picture":
            return is_near
    if row.minhash is None or other.minhash is None:
        return False
    return bool(similarities(row.minhash, [other.minhash])[0] >= rule.similarity)


def text_keys(rows: Sequence[Signature], rule: DuplicatesSpec) -> Keys:
    """Keys that rows share which are the same, and most rows whose texts are similar enough."""
    exact = np.frombuffer(b"".join(row.key[:8] for row in rows), "<u8")
    places, near = _near_texts(rows, rule)
    owners = np.concatenate([np.arange(len(rows)), np.repeat(places, near.shape[1])])
    keys = np.concatenate([exact, near.ravel()])
    return owners, keys, np.zeros(len(keys), np.uint64)


def near_text_keys(rows: Sequence[Signature], rule: DuplicatesSpec) -> list[list[int]]:
    """For each row the keys that near texts share: signed, as sqlite's integers are."""
    found: list[list[int]] = [[] for _ in rows]
    places, near = _near_texts(rows, rule)
    for place, keys in zip(places.tolist(), near.view(np.int64).tolist(), strict=True):
        found[place] = keys
    return found


def _near_texts(
    rows: Sequence[Signature], rule: DuplicatesSpec
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """The places of rows that are compared by text (P,), and the keys of each (P, K)."""
    places = [place for place, row in enumerate(rows) if _is_by_text(row, rule) and row.minhash]
    count, width = _layout(rule.similarity) if places else (0, 0)
    sketches = np.frombuffer(b"".join(rows[place].minhash or b"" for place in places), "<u4")
    values = sketches.reshape(-1, PERMUTATIONS)[:, : count * width].astype(np.uint64)
    weighed = values.reshape(len(places), count, width) * _mixed(np.arange(width))
    near = _mixed(weighed.sum(axis=2, dtype=np.uint64) + _mixed(np.arange(count)))
    return np.array(places, np.int64), near


def picture_keys(rows: Sequence[Signature], rule: DuplicatesSpec) -> Keys:
    """Keys that rows share whose pictures are near, and some others."""
    none = rule.by == "text"
    places = [place for place, row in enumerate(rows) if row.phash is not None and not none]
    phashes = np.array([rows[place].phash for place in places], np.uint64)
    slots = (phashes[:, None] >> np.arange(0, 64, 16, dtype=np.uint64)) & np.uint64(0xFFFF)
    slots |= np.arange(4, dtype=np.uint64) << np.uint64(16)
    if rule.distance > 3:
        # One slot of two near hashes differs in at most one bit: it is left out, each in turn.
        bits = np.arange(16, dtype=np.uint64)
        slots = slots[..., None] & ~(np.uint64(1) << bits) | (bits << np.uint64(20))
    each = slots.size // max(1, len(places))
    return (
        np.repeat(np.array(places, np.int64), each),
        _mixed(slots).ravel(),
        np.repeat(phashes, each),
    )


def differing_bits(one: NDArray[np.uint64], other: NDArray[np.uint64]) -> NDArray[np.int64]:
    """In how many bits hashes differ: (N,)."""
    return np.unpackbits((one ^ other).view(np.uint8).reshape(-1, 8), axis=1).sum(
        axis=1, dtype=np.int64
    )


def _mixed(values: NDArray[Any]) -> NDArray[np.uint64]:
    """Other values for these, spread evenly over all of 64 bits (the finalizer of SplitMix64)."""
    found = values.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        found = (found ^ (found >> np.uint64(shift))) * np.uint64(factor)
    return found ^ (found >> np.uint64(31))


def _is_by_text(row: Signature, rule: DuplicatesSpec) -> bool:
    return rule.by == "text" or (rule.by == "both" and row.phash is None)


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
