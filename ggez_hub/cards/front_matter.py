"""The YAML of a card, read without trust: no aliases, no tags, no deep nesting, no key twice."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any

import yaml

# libyaml's composer recurses in C and takes the process with it; a card nests seven deep.
MAX_DEPTH = 64

# A number of more digits is none that a card holds, and takes long to read.
MAX_DIGITS = 100

# Only text with one of these can hold an alias, a tag, or nest deeper than the indentation says.
# An empty list or mapping, which every card has that we write, holds nothing.
SUSPICIOUS = re.compile(
    r"[*!&]|\[(?!\])|\{(?!\})|[-?:][ \t]+[-?](?:[ \t]|$)|^[ \t]{64}", re.MULTILINE
)


class BadYaml(ValueError):
    """The YAML is broken, or more than a card needs; the message says how it is mended."""


class _Loader(yaml.CSafeLoader):
    """The C loader, which also refuses a key that stands twice: readers would see the first."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise yaml.constructor.ConstructorError(
                        None, None, f"the key {key.value!r} stands twice", key.start_mark
                    )
                seen.add(key.value)
        return super().construct_mapping(node, deep)


def _number(loader: _Loader, node: yaml.ScalarNode) -> Any:
    """A number; what YAML 1.1 takes for one in base 60 (12:30), or a very long one, stays text.

    The parts of a number in base 60 have no end, and each is multiplied into one integer.
    """
    if ":" in node.value or len(node.value) > MAX_DIGITS:
        return node.value
    return yaml.CSafeLoader.yaml_constructors[node.tag](loader, node)


for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _Loader.add_constructor(_tag, _number)


def load(front_matter: str) -> dict[str, Any]:
    """The mapping that a front matter is; raises BadYaml."""
    try:
        if SUSPICIOUS.search(front_matter):
            _refuse_tricks(front_matter)
        # The C loader: a curve has hundreds of rows, and the index thousands of cards.
        loaded = yaml.load(front_matter, Loader=_Loader)  # noqa: S506 - a safe loader's subclass
    except BadYaml:
        raise
    # Dates and numbers out of range raise what Python's own parsers raise.
    except (yaml.YAMLError, ValueError, ArithmeticError, LookupError, TypeError) as error:
        raise BadYaml(f"the front matter is not valid YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise BadYaml("the front matter is no mapping")
    return loaded


def _refuse_tricks(front_matter: str) -> None:
    depth = 0
    for event in yaml.parse(front_matter, Loader=yaml.CSafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.AliasEvent):
            # An alias repeats a part; a few lines of them stand for gigabytes.
            raise BadYaml(
                f"the front matter has a YAML alias (*{event.anchor}) in its line {line}: write "
                "the part out where it is meant"
            )
        if (tag := getattr(event, "tag", None)) is not None:
            raise BadYaml(
                f"the front matter has a YAML tag ({tag}) in its line {line}: write plain "
                "text, numbers, lists and mappings"
            )
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise BadYaml(f"the front matter nests deeper than {MAX_DEPTH} in its line {line}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
