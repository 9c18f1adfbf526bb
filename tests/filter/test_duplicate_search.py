"""The search in tasks finds what comparing every row with all earlier ones that stay does."""

from __future__ import annotations

from itertools import product

import numpy as np
import pyarrow.parquet as pq
import pytest

from ggez_hub.data import duplicate_search
from ggez_hub.data.deduplication import (
    DuplicateIndex,
    Signature,
    fingerprint,
    is_alike,
    similarities,
)
from ggez_hub.data.duplicate_search import ADDED, PART, DuplicateSearch, Match
from ggez_hub.data.spec import DuplicatesSpec

PARTS, ROWS = 4, 40
WORDS = [
    "soup",
    "market",
    "river",
    "temple",
    "boat",
    "rice",
    "dance",
    "night",
    "old",
    "red",
    "two",
    "by",
    "the",
    "in",
    "of",
    "with",
]


def corpus(rule, seed=3):
    """Signatures by ordinal: texts and hashes that are the same, near, or not; some without a picture."""
    draw = np.random.default_rng(seed)
    said, shown, found = [], [], {}
    for part in range(PARTS):
        for place in range(ROWS):
            words = list(draw.choice(WORDS, 14))
            phash = int(draw.integers(1 << 63)) * 2 + int(draw.integers(2))
            if said and draw.random() < 0.6:
                words, phash = list(said[(of := draw.integers(len(said)))]), shown[of]
                if draw.random() < 0.7:
                    words[draw.integers(len(words))] = str(draw.choice(WORDS))
                    for bit in draw.choice(64, draw.integers(9), replace=False):
                        phash ^= 1 << int(bit)
            said.append(words)
            shown.append(phash)
            seen = None if draw.random() < 0.2 else phash
            sha256 = None if seen is None else str(seen).encode()
            key, sketch = fingerprint(rule, sha256, " ".join(words))
            found[part * PART + place] = Signature(f"{part}/{place}", key, seen, sketch)
    return found


def is_near(rule, one, other):
    by_text = rule.by == "text" or (rule.by == "both" and one.phash is None)
    if by_text or rule.by == "both":
        if one.minhash is None or other.minhash is None:
            return False
        if by_text and rule.by == "both" and other.phash is not None:
            return False
        if similarities(one.minhash, [other.minhash])[0] < rule.similarity:
            return False
    if by_text:
        return True
    if one.phash is None or other.phash is None:
        return False
    return (one.phash ^ other.phash).bit_count() <= rule.distance


def one_by_one(rule, rows):
    kept, found = [], {}
    for ordinal, row in rows.items():
        exact = next((other for other in kept if other.key == row.key), None)
        near = next((other for other in kept if is_near(rule, row, other)), None)
        if match := exact or near:
            found[ordinal] = Match(match.id, exact is not None)
        else:
            kept.append(row)
    return found


def searched(search, rows, added=None):
    for part in range(PARTS):
        some = [(n, row) for n, row in rows.items() if n % ADDED // PART == part]
        search.write_keys(part, some)
    ranges = search.ranges()
    for number in range(ranges):
        search.link(ranges, number)
    search.group()
    for number in range(search.bins()):
        search.match(number, lambda ordinals: (rows[n] for n in ordinals.tolist()))
    firsts = [part * PART + of for of in (0, ADDED) for part in range(PARTS)]
    return {first + n: match for first in firsts for n, match in search.matches(first).items()}


@pytest.mark.parametrize("tiny", [False, True], ids=["together", "divided"])
@pytest.mark.parametrize(
    "asked",
    [
        {"by": "picture", "distance": 0},
        {"by": "picture", "distance": 3},
        {"by": "picture", "distance": 7},
        {"by": "both", "distance": 4, "similarity": 0.6},
        {"by": "text", "similarity": 1.0},
    ],
    ids=str,
)
def test_the_search_finds_what_comparing_all_rows_does(tmp_path, monkeypatch, asked, tiny):
    if tiny:
        monkeypatch.setattr(duplicate_search, "ROWS_TOGETHER", 25)
        monkeypatch.setattr(duplicate_search, "KEYS_TOGETHER", 400)
        monkeypatch.setattr(duplicate_search, "LINKED_TOGETHER", 10)
    rule = DuplicatesSpec(**asked)
    rows = corpus(rule)
    search = DuplicateSearch(tmp_path, rule)
    found = searched(search, rows)
    assert found == one_by_one(rule, rows)
    assert search.unlike() == 0
    some = list(rows.values())[:ROWS]
    for row, other in product(some, some):
        assert is_alike(row, other, rule) is (row.key == other.key or is_near(rule, row, other))
    assert len(found) > 10
    assert (search.bins() > 1) is tiny
    assert (search.ranges() > 1) is (tiny and asked["by"] != "text")


def test_near_texts_are_found_in_the_same_way_however_the_search_is_divided(tmp_path, monkeypatch):
    """MinHash misses a few pairs, but the same ones."""
    rule = DuplicatesSpec(by="text", similarity=0.7)
    rows = corpus(rule)
    together = searched(DuplicateSearch(tmp_path / "a", rule), rows)
    monkeypatch.setattr(duplicate_search, "KEYS_TOGETHER", 100)
    monkeypatch.setattr(duplicate_search, "LINKED_TOGETHER", 5)
    assert searched(DuplicateSearch(tmp_path / "b", rule), rows) == together
    by_id = {row.id: row for row in rows.values()}
    dropped = {rows[n].id for n in together}
    for ordinal, match in together.items():
        # What is dropped is itself like a row that stays.
        assert match.id not in dropped
        assert match.is_exact or is_near(rule, rows[ordinal], by_id[match.id])
    near = [n for n, match in one_by_one(rule, rows).items() if not match.is_exact]
    assert len(near) > 10
    assert sum(n in together for n in near) > 0.9 * len(near)


def test_what_is_added_repeats_the_rest_and_never_the_other_way_round(tmp_path):
    rule = DuplicatesSpec(by="text", similarity=1.0)
    texts = ["a", "b", "b", "c"]
    rows = {n: Signature(text + str(n), *_exact(rule, text)) for n, text in enumerate(texts)}
    more = {ADDED + n: Signature(f"+{n}", *_exact(rule, text)) for n, text in enumerate("dad")}
    found = searched(DuplicateSearch(tmp_path, rule), rows | more)
    assert found == {ADDED + 1: Match("a0", True), ADDED + 2: Match("+0", True)}


def _exact(rule, text):
    key, sketch = fingerprint(rule, None, text)
    return key, None, sketch


class FirstOfGroup(DuplicateIndex):
    """Takes a row for a duplicate of the first one of its group, however it is linked to that."""

    first = None

    def match(self, row, keys):
        return self.first

    def add(self, row, keys, ordinal):
        self.first = row


@pytest.mark.parametrize("index", [DuplicateIndex, FirstOfGroup], ids=["search", "components"])
def test_a_row_that_is_linked_through_another_one_stays(tmp_path, monkeypatch, index):
    """a is like b, and b like c, which is not like a: what is counted is what signatures say."""
    monkeypatch.setattr(duplicate_search, "DuplicateIndex", index)
    rule = DuplicatesSpec(by="picture", distance=3)
    hashes = {"a": 0, "b": 0b111, "c": 0b111111}
    rows = {
        n: Signature(name, name.encode() * 16, phash, None)
        for n, (name, phash) in enumerate(hashes.items())
    }
    search = DuplicateSearch(tmp_path, rule)
    found = searched(search, rows)
    search.write_dropped(tmp_path / "dropped.parquet")
    dropped = pq.read_table(tmp_path / "dropped.parquet").to_pylist()
    b, c = ({"id": n, "like": "a", "is_exact": False, "is_alike": n == "b"} for n in "bc")
    if index is DuplicateIndex:
        assert (found, search.unlike(), dropped) == ({1: Match("a", False)}, 0, [b])
    else:
        assert (len(found), search.unlike(), dropped) == (2, 1, [b, c])
