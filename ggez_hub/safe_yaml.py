"""YAML of strangers: bounded depth and size, no tags, no duplicate keys."""

from __future__ import annotations

import re
from collections.abc import Hashable
from typing import Any, Final

import yaml

# libyaml's composer recurses in C and takes the process with it; a card nests seven deep.
MAX_DEPTH: Final = 64
# Longer numbers stay text: no card holds one, and they take long to read.
MAX_DIGITS: Final = 100
# Merge keys copy what their aliases name, and aliases nest: ten lines can stand for billions.
MAX_MERGED: Final = 100_000

# libyaml is ten times faster, where the wheel has it.
_SafeLoader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_MERGE: Final = "tag:yaml.org,2002:merge"
_STR: Final = "tag:yaml.org,2002:str"
_BOOL: Final = "tag:yaml.org,2002:bool"
_NUMBERS: Final = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
# Only text with one of these can hold an alias or a tag, or nest much deeper than its indentation:
# a list in a list, `- - `, does not. Empty lists and mappings hold nothing. One pattern for all is slower.
_SUSPICIOUS: Final = (
    re.compile(r"[*!&]"),
    re.compile(r"\[(?!\])|\{(?!\})"),
    re.compile(r"[-?:][ \t]+[-?:][ \t]+[-?](?:[ \t]|$)", re.MULTILINE),
    re.compile(r"^[ \t?:-]{64}", re.MULTILINE),
)


class BadYaml(ValueError):
    """The text is not YAML, or holds more than is read; the message says where."""


def _at(node: yaml.Node, problem: str) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(None, None, problem, node.start_mark)


def _number(loader: Any, node: yaml.ScalarNode) -> Any:
    """A number; one in base 60 (`12:30` in YAML 1.1) or of very many digits stays text.

    The parts of a number in base 60 are unlimited, and each is multiplied into one integer.
    """
    if ":" in node.value or len(node.value) > MAX_DIGITS:
        return node.value
    return _SafeLoader.yaml_constructors[node.tag](loader, node)


class _Loader(_SafeLoader):
    """Refuses a key that is there twice, or `<<`: other readers would see another value."""

    def construct_document(self, node: yaml.Node) -> Any:
        """As the class above it, without the generators that aliases need: they take half of the time."""
        if isinstance(node, yaml.ScalarNode):
            if node.tag == _STR:
                return node.value
            return self.yaml_constructors.get(node.tag, _SafeLoader.construct_undefined)(self, node)
        if isinstance(node, yaml.SequenceNode):
            return [self.construct_document(part) for part in node.value]
        mapping: dict[Hashable, Any] = {}
        seen: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise _at(key, "a key is a list or a mapping")
            if key.tag == _MERGE:
                raise _at(key, "the key << merges mappings: write them out")
            if key.value in seen:
                raise _at(key, f"the key {key.value!r} is there twice")
            seen.add(key.value)
            mapping[self.construct_document(key)] = self.construct_document(value)
        return mapping


class _HubLoader(_SafeLoader):
    """The booleans of YAML 1.2, as the Hub reads cards (`language: no` is Norwegian); aliases."""

    merged = 0

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        super().flatten_mapping(node)
        self.merged += len(node.value)
        if self.merged > MAX_MERGED:
            raise BadYaml(f"its mappings have more than {MAX_MERGED:,} keys")


_HubLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in _SafeLoader.yaml_implicit_resolvers.items()
}
_HubLoader.add_implicit_resolver(
    _BOOL, re.compile(r"true|True|TRUE|false|False|FALSE"), list("tTfF")
)
for _loader in (_Loader, _HubLoader):
    for _tag in _NUMBERS:
        _loader.add_constructor(_tag, _number)


def load_mapping(text: str, what: str = "the text") -> dict[str, Any]:
    """The mapping in `text`, without aliases, tags and duplicate keys; `what` is its name in errors.

    Raises BadYaml.
    """
    loaded = _load(text, _Loader, what, aliases=False)
    if not isinstance(loaded, dict):
        raise BadYaml(f"{what} is not a mapping")
    return loaded


def load_as_hub(text: str, what: str = "the text") -> Any:
    """The value of `text` as the Hub reads cards: YAML 1.2's booleans, aliases up to a limit.

    Raises BadYaml.
    """
    return _load(text, _HubLoader, what, aliases=True)


def _load(text: str, loader: Any, what: str, *, aliases: bool) -> Any:
    try:
        if any(pattern.search(text) for pattern in _SUSPICIOUS):
            _check_events(text, what, aliases=aliases)
        return yaml.load(text, Loader=loader)  # noqa: S506 - subclasses of the safe loader
    except BadYaml:
        raise
    # Dates and numbers out of range raise what Python's own parsers raise.
    except (
        yaml.YAMLError,
        ValueError,
        ArithmeticError,
        LookupError,
        TypeError,
        RecursionError,
    ) as error:
        raise BadYaml(f"{what} is not valid YAML: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    """What is wrong in a line, and where: the parser calls every text `<unicode string>`."""
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return str(error)
    at = error.problem_mark
    said = ", ".join(filter(None, (error.context, error.problem)))
    return f"{said} (its line {at.line + 1}, column {at.column + 1})"


def _check_events(text: str, what: str, *, aliases: bool) -> None:
    """Refuse depth, and aliases and tags unless they are allowed; events need no recursion."""
    depth = 0
    for event in yaml.parse(text, Loader=_SafeLoader):
        line = event.start_mark.line + 1 if event.start_mark else 1
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise BadYaml(f"{what} nests deeper than {MAX_DEPTH} in its line {line}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if aliases:
            continue
        if isinstance(event, yaml.AliasEvent):
            # A few lines of aliases can stand for gigabytes.
            raise BadYaml(
                f"{what} has a YAML alias (*{event.anchor}) in its line {line}: write the part "
                "out where it is meant"
            )
        if (tag := getattr(event, "tag", None)) is not None:
            raise BadYaml(
                f"{what} has a YAML tag ({tag}) in its line {line}: write plain text, numbers, "
                "lists and mappings"
            )
