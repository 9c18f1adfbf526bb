"""Whatever comes from outside is a card or a BadCard."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ggez_hub.cards import BadCard, CardDocument, parse_card, read_card, render_card

from ..fuzzing import examples
from .blocks import FRONT, block, text

SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=30), st.dates(),
    st.binary(max_size=8),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.one_of(st.text(max_size=8), st.integers(), st.booleans()), inner, max_size=4
        )
    ),
    max_leaves=12,
)


def card_or_bad(content):
    """What parsing gives; a card must survive being written and read."""
    try:
        document = parse_card(content)
    except BadCard:
        return None
    assert isinstance(document, CardDocument)
    again = parse_card(render_card(document))
    assert again.card == document.card
    assert again.prose == document.prose
    assert repr(again.front_matter) == repr(document.front_matter)
    return document


@settings(max_examples=examples(100), deadline=None)
@given(st.text(st.characters(codec="utf-8") | st.characters(categories=["Cs"]), max_size=300))
@example("!!int ''")
@example("!!bool maybe")
@example("!!timestamp x")
@example("a: " + "1" + ":1" * 400 + ":1.5")
@example("a: 2001-99-99")
@example("a: " + "1" * 5000)
@example("self: 1")
@example("ignore_metadata_errors: true\nmodel-index: 3")
@example("? {a: b}\n: c")
def test_any_text(content):
    for candidate in (
        content,
        f"---\n{content}\n---\n",
        f"---\nggez:\n  {content}\n---\n",
        text(block()).replace("level: declared", f"level: declared\n{content}"),
    ):
        card_or_bad(candidate)


def places(value, path=()):
    """Every path in a nested value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, child in items if isinstance(value, (dict, list)) else ():
        if isinstance(child, (dict, list)):
            yield from places(child, (*path, key))
        else:
            yield (*path, key)


def replaced(value, path, new):
    if not path:
        return new
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(copy[path[0]], path[1:], new)
    return copy


WHOLE = FRONT | {"ggez": block()}


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None, max_examples=examples(300))
@given(path=st.sampled_from(list(places(WHOLE))), new=VALUES)
def test_any_value_at_any_key(path, new):
    changed = replaced(WHOLE, path, new)
    with suppress(yaml.YAMLError):  # what cannot be written as YAML cannot come from it
        card_or_bad(f"---\n{yaml.dump(changed, Dumper=yaml.CSafeDumper, allow_unicode=True)}---\n")


@settings(deadline=None, max_examples=examples(200))
@given(start=st.integers(0, 1500), stop=st.integers(0, 40), new=st.text(max_size=12))
def test_any_damage(start, stop, new):
    good = text(block())
    card_or_bad(good[:start] + new + good[start + stop :])


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_another_encoding_is_one_clear_error(encoding, tmp_path):
    (tmp_path / "README.md").write_text(text(block()), encoding=encoding)
    with pytest.raises(
        BadCard, match="byte order mark" if encoding == "utf-8-sig" else "not UTF-8"
    ):
        read_card(tmp_path / "README.md")


@settings(deadline=None)
@given(content=st.binary(max_size=200))
def test_any_bytes(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("card") / "README.md"
    for candidate in (content, b"---\n" + content + b"\n---\n"):
        path.write_bytes(candidate)
        with suppress(BadCard):
            read_card(path)


@pytest.mark.parametrize(
    ("front", "named"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nggez: [*b, *b]", "alias"),
        ("ggez: !!python/object/apply:os.system [ls]", "tag"),
        ("a: !!binary aGk=", "tag"),
        ("<<: {license: mit}\nlicense: other", "the key << merges"),
        ("<<: [{license: mit}]", "the key << merges"),
        ("ggez:\n  <<: {level: declared}", "the key << merges"),
        ("{a: b}: mit", "a key is a list or a mapping"),
        ("license: mit\nlicense: other", "'license' is there twice"),
        ("ggez:\n  level: declared\n  level: measured", "'level' is there twice"),
    ],
)
def test_tricks_of_yaml_are_refused(front, named):
    with pytest.raises(BadCard, match=named):
        parse_card(f"---\n{front}\n---\n")


@pytest.mark.parametrize(
    "bomb",
    [
        "'[' * 200_000",
        "'- ' * 200_000",
        "'? ' * 200_000",
        "'{a: ' * 90_000",
        "''.join('\\n' + ' ' * 5 * n + '- - x:' for n in range(1, 400))",
    ],
)
def test_a_deep_nest_is_refused(bomb):
    """In a process of its own: unguarded, libyaml's composer ends the process."""
    code = (
        "from ggez_hub.cards import BadCard, parse_card\n"
        f"try: parse_card('---\\na: \\n  ' + {bomb} + '\\n---\\n')\n"
        "except BadCard as bad: print(bad.message[:200])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "nests deeper" in done.stdout or "not valid YAML" in done.stdout
