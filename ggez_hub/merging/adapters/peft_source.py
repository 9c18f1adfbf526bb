"""A PEFT folder, opened for one base: its file, its checked config, and the names of the base."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.families import Family, KeyMap
from ggez_hub.merging.deltas import WeightIndex, WrongBase
from ggez_hub.weights import WeightFile


@dataclass(frozen=True)
class PeftSource:
    """Where an adapter comes from, and the base that it is for."""

    folder: Path
    file: WeightFile
    config: Mapping[str, Any]
    family: Family
    base: WeightIndex

    @cached_property
    def key_map(self) -> KeyMap:
        """From modules to the base's tensors."""
        return self.family.key_map(self.base.folder, self.base)

    def weight(self, module: str) -> str:
        """The base's tensor for a module's weight; raises WrongBase, or as the key map."""
        return self.parameter(module, "weight")

    def parameter(self, module: str, leaf: str) -> str:
        """The base's tensor for a parameter of a module; raises WrongBase, or as the key map."""
        found = find_parameter(self.key_map, self.base, module, leaf)
        if found is None:
            raise WrongBase(
                f"{self.folder} changes a module {module!r} ({leaf}) that the base in "
                f"{self.base.folder} does not have",
                "The adapter was trained on another model.",
            )
        return found


def find_parameter(key_map: KeyMap, base: WeightIndex, module: str, leaf: str) -> str | None:
    """The base's tensor for the parameter `leaf` of a module, if it has one; raises as the map."""
    weight = key_map(module)
    if leaf == "weight":
        found = weight
    elif weight is None:
        # A module without a weight of its own: only its own name can be its parameter's.
        found = f"{module}.{leaf}".lstrip(".")
    else:
        found = f"{weight.rpartition('.')[0]}.{leaf}"
    return found if found in base else None
