"""Expected values against what a hub lists: each difference is a sentence with its source."""

from __future__ import annotations

import pytest

from ggez_hub.cards.expected import Expected, ListedFile, differences

A, B = "a" * 64, "b" * 64
HERE, THERE = "1" * 40, "2" * 40
EXPECTED = Expected.model_validate(
    {
        "revision": HERE,
        "files": {"x.safetensors": {"sha256": A, "size": 10}, "y.safetensors": {"sha256": B}},
        "source": "two lock files",
    }
)
LISTED = {"x.safetensors": ListedFile(10, A), "y.safetensors": ListedFile(7, B)}
NO_Y = {"x.safetensors": ListedFile(10, A)}


@pytest.mark.parametrize(
    ("revision", "listed", "partial", "found"),
    [
        (HERE, LISTED, False, []),
        (THERE, LISTED, False,
         ["o/m is at the commit 222222222222, 111111111111 was expected (two lock files); "
          "x.safetensors and y.safetensors as expected"]),
        (HERE, LISTED | {"x.safetensors": ListedFile(11, A)}, False,
         ["o/m@111111111111 has x.safetensors with 11 bytes, 10 were expected (two lock files)"]),
        (THERE, LISTED | {"y.safetensors": ListedFile(7, None)}, False,
         ["o/m is at the commit 222222222222, 111111111111 was expected (two lock files)",
          "o/m@222222222222 has y.safetensors with the sha256 unknown, bbbbbbbbbbbb was expected "
          "(two lock files)"]),
        (HERE, NO_Y, False,
         ["o/m@111111111111 has no y.safetensors, which was expected (two lock files)"]),
        # Of a part of a repository nothing is said about the rest.
        (HERE, NO_Y, True, []),
    ],
)  # fmt: skip
def test_each_difference_is_a_sentence(revision, listed, partial, found):
    assert list(differences(EXPECTED, "o/m", revision, listed, partial=partial)) == found


def test_what_is_unknown_is_not_compared():
    unknown = Expected.model_validate({"revision": "unknown", "source": "nobody"})
    assert list(differences(unknown, "o/m", HERE, {})) == []
