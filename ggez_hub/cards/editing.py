"""Other values in a YAML text whose comments, order and quotes stay as they were."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeAlias

import yaml

KeyPath: TypeAlias = tuple[str | int, ...]
ONE_LINE = 1 << 30


def with_values(text: str, values: Mapping[KeyPath, object]) -> str:
    """The YAML `text` with another value at each path of keys; nothing else of it changes.

    A list or a mapping is written in block style, below its key, and a word inside `{...}` has to be
    one that needs no quotes there. Raises KeyError for a path that
    the text does not have.
    """
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    starts = _line_starts(text)
    edits = []
    for path, value in values.items():
        key, node = _at(root, path)
        first, last = _span(node, starts)
        new = _written(value, key, node)
        if new.startswith("\n"):
            first = len(text[:first].rstrip(" "))
        edits.append((first, last, new))
    # From the end, so that earlier places stay where they are.
    for first, last, new in sorted(edits, reverse=True):
        text = text[:first] + new + text[last:]
    return text


def _at(root: yaml.Node | None, path: KeyPath) -> tuple[yaml.Node, yaml.Node]:
    key = node = root
    for part in path:
        found: Sequence[tuple[yaml.Node, yaml.Node]] = ()
        if isinstance(node, yaml.MappingNode):
            found = [(k, v) for k, v in node.value if k.value == part]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int):
            found = [(item, item) for item in node.value[part : part + 1]]
        if not found:
            raise KeyError(path)
        key, node = found[0]
    if key is None or node is None:
        raise KeyError(path)
    return key, node


def _span(node: yaml.Node, starts: Sequence[int]) -> tuple[int, int]:
    """Where a value begins and ends; a block ends with its last leaf, before what follows it."""
    first = starts[node.start_mark.line] + node.start_mark.column
    last = node
    while isinstance(last, yaml.CollectionNode) and last.value and not last.flow_style:
        item = last.value[-1]
        last = item[1] if isinstance(item, tuple) else item
    return first, starts[last.end_mark.line] + last.end_mark.column


def _written(value: object, key: yaml.Node, node: yaml.Node) -> str:
    if not isinstance(value, dict | list) or not value:
        plain = _dumped(value, width=ONE_LINE)
        return plain[0] if len(plain) == 1 else _dumped(value, width=ONE_LINE, style='"')[0]
    below = not isinstance(node, yaml.CollectionNode) or bool(node.flow_style)
    indent = key.start_mark.column + 2 if below else node.start_mark.column
    joined = ("\n" + " " * indent).join(_dumped(value, width=100))
    return "\n" + " " * indent + joined if below else joined


def _dumped(value: object, width: int, style: str | None = None) -> list[str]:
    """The lines of a value as a document, without the mark that ends one of a scalar."""
    dumped = yaml.dump(
        value, Dumper=yaml.CSafeDumper, sort_keys=False, allow_unicode=True, width=width,
        default_style=style,
    )  # fmt: skip
    return dumped.removesuffix("...\n").rstrip("\n").split("\n")


def _line_starts(text: str) -> list[int]:
    starts = [0]
    for line in text.split("\n"):
        starts.append(starts[-1] + len(line) + 1)
    return starts
