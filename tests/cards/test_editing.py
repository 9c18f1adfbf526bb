"""Values are replaced; comments, order and quotes stay."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ggez_hub.yaml_text import with_values

TEXT = """\
# a comment
base: org/base@main   # why this one
adapters:
- {adapter: "org/ลอร่า@main", beta: 0.1}
  # between
- adapter: 'org/other@main'
  beta: 0.2
block:
  members:
  - th
  - vn   # two

# after
last: unknown
"""


def test_only_the_value_changes():
    new = with_values(TEXT, {("base",): "org/base@1", ("adapters", 1, "adapter"): "org/other@2"})
    assert new == TEXT.replace("org/base@main", "org/base@1").replace(
        "'org/other@main'", "org/other@2"
    )


def test_a_value_after_other_letters_is_found():
    new = with_values(TEXT, {("adapters", 0, "beta"): 0.5, ("adapters", 0, "adapter"): "a/b@1"})
    assert "- {adapter: a/b@1, beta: 0.5}\n  # between" in new


def test_a_block_takes_the_place_of_a_word_and_of_a_block():
    new = with_values(TEXT, {("last",): {"a": {"b": 1}}, ("block", "members"): ["la", "kh", "mm"]})
    assert yaml.safe_load(new)["last"] == {"a": {"b": 1}}
    assert "  members:\n  - la\n  - kh\n  - mm   # two\n\n# after\nlast:\n  a:\n" in new


def test_a_key_that_is_not_there_is_an_error():
    with pytest.raises(KeyError):
        with_values(TEXT, {("block", "nobody"): 1})


@given(st.one_of(st.text(max_size=30), st.integers(), st.floats(allow_nan=False), st.booleans()))
def test_what_is_written_is_what_is_read(value):
    new = with_values(TEXT, {("base",): value})
    assert yaml.safe_load(new) == yaml.safe_load(TEXT) | {"base": value}
