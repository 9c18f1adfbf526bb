"""What makes two examples alike: a digest, the picture's perceptual hash, the text's MinHash."""

from __future__ import annotations

import hashlib
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
