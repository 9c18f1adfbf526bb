"""Where a key stands in a card, so that an error can name its line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import yaml


@dataclass(frozen=True)
class Lines:
    """The lines of the keys of a front matter; its own first line is line `first` of the file."""

    root: yaml.Node | None
    first: int

    @classmethod
    def of(cls, front_matter: str, first: int) -> Lines:
        """The lines of a front matter that is valid YAML."""
        return cls(yaml.compose(front_matter, Loader=yaml.CSafeLoader), first)

    def of_key(self, path: Sequence[str | int]) -> int:
        """The line of the key at `path`, or of the nearest key around it that is there."""
        node, line = self.root, self.first
        for part in path:
            found = _child(node, part)
            if found is None:
                # The validator also names the alternatives of a type, which are no keys.
                continue
            key, node = found
            line = self.first + key.start_mark.line
        return line


def path_at(front_matter: str, line: int) -> str:
    """The keys, joined by dots, that the line (from 1) of a front matter is part of.

    Only the text is looked at, not the YAML, which may be broken. Empty outside the front matter.
    """
    lines = front_matter.splitlines()
    if not 1 <= line <= len(lines):
        return ""
    keys: list[str] = []
    indent = len(lines[line - 1]) + 1
    for text in reversed(lines[:line]):
        stripped = text.lstrip(" -")
        depth = len(text) - len(stripped)
        key, colon, _ = stripped.partition(":")
        if stripped and colon and depth < indent:
            keys.insert(0, key.strip("\"' "))
            indent = depth
    return ".".join(keys)


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The key (of a list its item) and the value at `part` of a node."""
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
