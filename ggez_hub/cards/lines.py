"""Where a key stands in a card, so that an error can name its line."""

from __future__ import annotations

from collections.abc import Sequence

import yaml


def line_of(front_matter: str, path: Sequence[str | int], first: int) -> int:
    """The line of the key at `path`, or of the nearest key around it that is there.

    `front_matter` is valid YAML whose own first line is line `first` of the file.
    """
    node = yaml.compose(front_matter, Loader=yaml.CSafeLoader)
    line = first
    for part in path:
        found = _child(node, part)
        if found is None:
            # The validator also names the alternatives of a type, which are no keys.
            continue
        key, node = found
        line = first + key.start_mark.line
    return line


def _child(node: yaml.Node | None, part: str | int) -> tuple[yaml.Node, yaml.Node] | None:
    """The key (of a list its item) and the value at `part` of a node."""
    if isinstance(node, yaml.MappingNode):
        return next(((k, v) for k, v in node.value if k.value == str(part)), None)
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
