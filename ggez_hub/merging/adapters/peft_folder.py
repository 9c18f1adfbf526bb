"""A PEFT folder, opened for one base: its file, its checked config, and the names of the base."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from ggez_hub.families import Family, KeyMap
from ggez_hub.families.family import NotOneToOne, TiedWeight
from ggez_hub.families.skeleton import module_tree
from ggez_hub.merging.deltas import WeightIndex, WrongBase
from ggez_hub.safetensors_header import WeightFile


@dataclass(frozen=True)
class PeftFolder:
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
        if found is None and leaf != "weight":
            layout = self.family.layout(self.base.folder)
            tree = module_tree(self.base.folder, layout)
            found = find_by_neighbours(tree, self.key_map, self.base, module, leaf)
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


def find_by_neighbours(
    modules: Collection[str], key_map: KeyMap, base: WeightIndex, module: str, leaf: str
) -> str | None:
    """The base's tensor for a parameter of a module that has no weight, by how others are named.

    Checkpoints rename whole towers: what became of a module within `module`, or near it, became of
    its own parameters too. `modules` are the paths of all modules.
    """
    around = module
    while around:
        for other in modules:
            if not other.startswith(f"{around}."):
                continue
            try:
                weight = key_map(other)
            except (NotOneToOne, TiedWeight):
                continue
            rest = f"{other.removeprefix(around)}.weight"
            if weight is not None and weight.endswith(rest):
                found = f"{weight.removesuffix(rest)}{module.removeprefix(around)}.{leaf}"
                if found in base:
                    return found
        around = around.rpartition(".")[0]
    return None
