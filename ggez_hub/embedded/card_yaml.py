"""YAML 1.2 of strangers' cards, as the Hub reads it: `language: no` is Norwegian, `12:30` is text."""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

# libyaml's composer recurses in C: deep nesting takes the whole server with it.
MAX_DEPTH: Final = 64
MAX_DIGITS: Final = 100
MAX_MERGED: Final = 100_000

_BOOL: Final = "tag:yaml.org,2002:bool"
# libyaml reads a card ten times faster where the wheel has it.
_SafeLoader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# What a line begins with where it is nested deeply without brackets.
_DEEP: Final = re.compile(r"^[ \t?:-]{64}", re.MULTILINE)


class YamlError(ValueError):
    """The text is no YAML, or nests deeper than any card."""


class _Loader(_SafeLoader):
    """The safe loader with the booleans and numbers of YAML 1.2, and an end to what is merged.

    A merge key copies what its aliases name, and aliases nest: ten lines can stand for billions.
    """

    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self.merged += len(node.value)
        if self.merged > MAX_MERGED:
            raise yaml.YAMLError(f"its mappings have more than {MAX_MERGED:,} keys")


def _number(loader: Any, node: yaml.ScalarNode) -> Any:
    """A number; what YAML 1.1 takes for one in base 60, or one of very many digits, stays text.

    Each part of a number in base 60 is multiplied into one integer, and there is no end of them.
    """
    if ":" in node.value or len(node.value) > MAX_DIGITS:
        return node.value
    return _SafeLoader.yaml_constructors[node.tag](loader, node)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(_BOOL, re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF"))
for _tag in ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float"):
    _Loader.add_constructor(_tag, _number)


def load(text: str) -> Any:
    """What a text means.

    Raises:
        YamlError: it is no YAML, nests deeper than MAX_DEPTH, or has more than MAX_MERGED keys.
    """
    try:
        if text.count("[") + text.count("{") > MAX_DEPTH or _DEEP.search(text):
            _refuse_depth(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader
    except (yaml.YAMLError, ArithmeticError, LookupError, TypeError, RecursionError) as error:
        raise YamlError(str(error)) from error


# As in ggez_hub.cards.front_matter, which this package may not import: a hub stands by itself, and
# takes aliases, tags and the booleans of YAML 1.2, which our own cards do without.
def _refuse_depth(text: str) -> None:
    """Look at the events of the text, which are told without recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise YamlError(f"it nests deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
