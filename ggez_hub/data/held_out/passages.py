"""Texts that hold another one, or nearly: with words before or after it, or one changed.

Characters are compared, not words: Thai, Lao, Khmer and Burmese put no spaces between words.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ggez_hub.data.deduplication import LONGEST, SHINGLE, normalised

# Two texts that share this many characters in a row share a fingerprint: the least hash of each
# _WINDOW neighbouring runs of _RUN characters (winnowing, Schleimer et al. 2003).
_RUN, _WINDOW = 8, 6
# Of a text's fingerprints the rarest are looked up, up to so many entries; so many texts with the
# most of them are compared.
_ENTRIES, _COMPARED = 4096, 48
# Near texts share at least this part of the fingerprints of the one that has fewer.
_SHARED = 0.25
_FACTOR = np.uint64(0x9E3779B97F4A7C15)


def folded(text: str) -> str:
    """A text as it is compared: without case, width and spaces, and cut after LONGEST."""
    return normalised(text)[:LONGEST]


def share(one: str, other: str) -> float:
    """How much of the shorter of two folded texts is in one place of the other: 0 to 1.

    The share of its character 5-grams that are in a stretch of about twice its length.
    """
    short, long = sorted((one, other), key=len)
    wanted, found = set(_grams(short)), _grams(long)
    stretch = 2 * len(short) + 20
    if len(found) > stretch:
        hits = np.cumsum([0, *(gram in wanted for gram in found)])
        start = int((hits[stretch:] - hits[:-stretch]).argmax())
        found = found[start : start + stretch]
    return len(wanted.intersection(found)) / len(wanted)


class Passages:
    """An index in memory of folded texts: about 8 entries of 12 bytes for 30 characters."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._texts = texts
        marks = [fingerprints(text) for text in texts]
        self._counts = np.array([len(found) for found in marks], np.int64)
        keys = np.concatenate([np.zeros(0, np.uint64), *marks])
        owners = np.repeat(np.arange(len(texts), dtype=np.int32), self._counts)
        order = np.lexsort((owners, keys))
        self._keys, self._owners = keys[order], owners[order]

    def near(self, text: str, least: float) -> list[str]:
        """The texts of which `text` holds a share, or that hold it, in their order."""
        wanted = fingerprints(text)
        first = np.searchsorted(self._keys, wanted, "left")
        several = np.searchsorted(self._keys, wanted, "right") - first
        order = np.argsort(several, kind="stable")
        order = order[several[order] > 0]
        within = np.cumsum(several[order]) <= _ENTRIES
        # Of a key that every text has, as many as are looked up.
        within[:1] = True
        entries = [
            self._owners[first[n] : first[n] + min(int(several[n]), _ENTRIES)]
            for n in order[within].tolist()
        ]
        if not entries:
            return []
        owners, votes = np.unique(np.concatenate(entries), return_counts=True)
        likely = votes >= _SHARED * np.minimum(self._counts[owners], len(wanted))
        ranked = owners[likely][np.argsort(-votes[likely], kind="stable")][:_COMPARED]
        found = (self._texts[n] for n in sorted(ranked.tolist()))
        return [other for other in found if share(text, other) >= least]


def fingerprints(text: str) -> NDArray[np.uint64]:
    """Hashes of some of the runs of a folded text, sorted; two that share a passage share some."""
    points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    points = np.pad(points, (0, max(0, _RUN - len(points))))
    hashes = np.zeros(len(points) - _RUN + 1, np.uint64)
    for n in range(_RUN):
        hashes = hashes * _FACTOR + points[n : len(points) - _RUN + 1 + n]
    hashes = (hashes ^ (hashes >> np.uint64(29))) * _FACTOR
    if len(hashes) > _WINDOW:
        hashes = np.lib.stride_tricks.sliding_window_view(hashes, _WINDOW).min(axis=1)
    return np.unique(hashes)


def _grams(text: str) -> list[str]:
    return [text[n : n + SHINGLE] for n in range(max(1, len(text) - SHINGLE + 1))]


def answers_agree(one: str, other: str) -> bool:
    """Whether two answers are the same but for the letter of an option and what is around them."""
    first, second = sorted((_bare(one), _bare(other)), key=len)
    return first == second or (len(first) >= 4 and (first in second or share(first, second) > 0.7))


def _bare(answer: str) -> str:
    """A folded answer without the letter of its option and the marks at its ends."""
    text = folded(answer)
    if len(text) > 2 and text[0].isalpha() and text[1] in ".):":
        text = text[2:]
    return text.strip(" .,;:!?\"'()[]")
