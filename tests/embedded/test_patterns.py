"""Patterns of .gitattributes and .gitignore: git's rules, in linear time whatever a stranger writes."""

from __future__ import annotations

import pytest
from dulwich.attrs import GitAttributes, parse_git_attributes
from dulwich.attrs import Pattern as Attribute
from dulwich.ignore import IgnoreFilter

from ggez_hub.embedded.errors import InvalidRequestError
from ggez_hub.embedded.lfs import DEFAULT_ATTRIBUTES, Attributes, ignored

PATTERNS = [
    "*.bin",
    "a/**/b",
    "**/foo",
    "foo/**",
    "/x[!a-z]y",
    "d?r/",
    "\\*b",
    "[[:alpha:]]x",
    "!a.bin",
]
PATHS = ["a.bin", "d/a.bin", "a/b", "a/c/d/b", "foo", "a/foo", "foo/x", "x1y", "d/x1y", "dir/f", "*b", "qx",
         "ก.bin", "a\nb"]  # fmt: skip
# dulwich's engine tries every way to cut the name into pieces.
ENDLESS = "*a" * 25 + "b"


@pytest.mark.parametrize("path", PATHS)
def test_the_rules_are_dulwichs(path):
    known = IgnoreFilter(p.encode() for p in PATTERNS)
    parts = path.split("/")
    folders = ["/".join(parts[:n]) + "/" for n in range(1, len(parts))]
    expected = any(known.is_ignored(candidate) for candidate in (*folders, path))
    assert ignored("\n".join(PATTERNS).encode(), path) == expected
    lines = [f"{p} filter=lfs\n".encode() for p in PATTERNS if not p.startswith("!")]
    rules = GitAttributes([(Attribute(p), a) for p, a in parse_git_attributes(iter(lines))])
    tracked = rules.match_path(path.encode()).get(b"filter") == b"lfs"
    assert Attributes(b"".join(lines)).tracks(path) == tracked


def test_an_endless_pattern_ends():
    path = "a" * 60
    assert not ignored(ENDLESS.encode(), path)
    assert not Attributes(f"{ENDLESS} filter=lfs\n".encode()).tracks(path)
    assert Attributes(DEFAULT_ATTRIBUTES).tracks("x/model.safetensors")


def test_an_endless_list_of_letters_is_refused():
    with pytest.raises(InvalidRequestError, match="more than 1,000 letters"):
        ignored(b"a" * 2000, "b")
