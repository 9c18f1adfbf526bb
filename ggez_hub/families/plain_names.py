"""What the modules of transformers' models are called, and their tensors: without building a model.

`plain_names.json` has the layouts that a class loads completely: templates of the names, with a star
for each number, of modules whose weight is one stored tensor, and of all other tensors. It is made of
transformers' own models, and tests compare the two (tests/families/plain_names.py). A checkpoint
that holds anything else is in none of these layouts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from ggez_hub.families.transformers_folder import Checkpoint

TABLE = Path(__file__).with_suffix(".json")
NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
STAR = re.compile(r"(?<=\.)\*(?=\.|$)")


@dataclass(frozen=True)
class PlainNames:
    """The tensors of a checkpoint, and which of them are modules' own weights, by templates.

    Of these none is tied or converted, and none has its outputs on the second axis.
    """

    names: Collection[str]
    tensors: Mapping[str, str] = field(default_factory=dict)

    def tensor(self, module: str) -> str | None:
        """The weight of `module`; None where only the model itself can tell."""
        name = filled(self.tensors.get(template(module), ""), module)
        return name if name and name in self.names else None

    def hold(self, tensors: Iterable[str]) -> bool:
        """Whether all of these tensors are such weights."""
        return {template(name) for name in tensors} <= {*self.tensors.values()}


def plain_names(checkpoint: Checkpoint, names: Collection[str]) -> PlainNames:
    """What is known of a checkpoint whose tensors are `names`: nothing, if one of them is not."""
    row = _table().get(checkpoint.architecture)
    if row is None or row["model_type"] != checkpoint.config["model_type"]:
        return PlainNames(names)
    templates = {template(name) for name in names}
    for layout in row["layouts"]:
        tensors = {module: f"{module}.weight" for module in layout["plain"]} | layout["renamed"]
        if templates <= {*tensors.values(), *layout["other"]}:
            return PlainNames(names, tensors)
    return PlainNames(names)


def template(name: str) -> str:
    """The name of a tensor or module with a star for each number."""
    return NUMBER.sub("*", name)


def filled(template: str, name: str) -> str:
    """`template` with the numbers of `name` in place of its stars, in their order."""
    numbers = iter(NUMBER.findall(name))
    return STAR.sub(lambda star: next(numbers, star[0]), template)


@cache
def _table() -> dict[str, Any]:
    table: dict[str, Any] = json.loads(TABLE.read_text("utf-8"))
    return table
