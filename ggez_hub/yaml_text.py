"""YAML files as text: the lines of their keys, values changed in place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TypeAlias

import yaml

from ggez_hub.validation_errors import Problem, shortened

KeyPath: TypeAlias = tuple[str | int, ...]
ONE_LINE = 1 << 30


@dataclass(frozen=True)
class Lines:
    """The lines of the keys of valid YAML, whose first line is line `first` of its file."""

    root: yaml.Node | None
    first: int

    @classmethod
    def of(cls, text: str, first: int) -> Lines:
        return cls(yaml.compose(text, Loader=yaml.CSafeLoader), first)

    def of_key(self, path: Sequence[str | int]) -> int:
        """The line of the key at `path`, or of the nearest key around it that exists."""
        node, line = self.root, self.first
        for part in path:
            found = _child(node, part)
            if found is None:
                # Validators also name the alternatives of a type, which are not keys.
                continue
            key, node = found
            line = self.first + key.start_mark.line
        return line

    def listed(self, problems: Iterable[Problem]) -> str:
        return shortened(problems, lambda p: f"  line {self.of_key(p.path)}: {p}")


def path_at(text: str, line: int) -> str:
    """The keys, joined by dots, that a line (from 1) belongs to; empty outside the text.

    Only the text is read: the YAML may be invalid.
    """
    lines = text.splitlines()
    if not 1 <= line <= len(lines):
        return ""
    keys: list[str] = []
    indent = len(lines[line - 1]) + 1
    for above in reversed(lines[:line]):
        stripped = above.lstrip(" -")
        depth = len(above) - len(stripped)
        key, colon, _ = stripped.partition(":")
        if stripped and colon and depth < indent:
            keys.insert(0, key.strip("\"' "))
            indent = depth
    return ".".join(keys)


def with_values(text: str, values: Mapping[KeyPath, object]) -> str:
    """The YAML `text` with another value at each path; comments, order and quotes do not change.

    A list or a mapping is written in block style below its key. A word inside `{...}` has to be one
    that needs no quotes there. Raises KeyError for a path that the text does not have.
    """
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    starts = list(accumulate((len(line) + 1 for line in text.split("\n")), initial=0))
    edits = []
    for path, value in values.items():
        key = node = root
        for part in path:
            found = _child(node, part)
            if found is None:
                raise KeyError(path)
            key, node = found
        if key is None or node is None:
            raise KeyError(path)
        first, last = _span(node, starts)
        new = _written(value, key, node)
        if new.startswith("\n"):
            first = len(text[:first].rstrip(" "))
        edits.append((first, last, new))
    # From the end, so that earlier positions stay valid.
    for first, last, new in sorted(edits, reverse=True):
        text = text[:first] + new + text[last:]
    return text


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The key (of a list its item) and the value at `part` of a node."""
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None


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
    """The lines of a value as a document, without the mark that ends a scalar."""
    dumped = yaml.dump(
        value,
        Dumper=yaml.CSafeDumper,
        sort_keys=False,
        allow_unicode=True,
        width=width,
        default_style=style,
    )
    return dumped.removesuffix("...\n").rstrip("\n").split("\n")
