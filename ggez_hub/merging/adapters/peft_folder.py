"""A PEFT folder: its file, its checked config and its sorted keys; and the same for one base.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint. What a key means is what
PEFT's `from_pretrained` makes of it; what it would silently ignore is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.families import Family, KeyMap
from ggez_hub.families.family import NotOneToOne, TiedWeight
from ggez_hub.families.weight_files import PICKLES
from ggez_hub.merging.adapters.peft_config import (
    CONFIG,
    KINDS,
    is_off,
    read_any_config,
    read_scaling_config,
)
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.safetensors_header import WeightFile, read_header

if TYPE_CHECKING:
    from torch import nn

WEIGHTS = "adapter_model.safetensors"
PREFIX = "base_model.model."
TOKENS = "token_adapter.trainable_tokens_delta"
MAGNITUDE = "lora_magnitude_vector"
LORA_BIAS = "lora_B.bias"
# Of several parameters of one module that `target_parameters` adapts, each wraps the one before.
NESTED = re.compile(r"(?:\.base_layer)+\Z")
# A parameter of a module that is saved, under the names that PEFT's wrapper has in memory.
COPY = re.compile(r"^(?P<module>.+)\.(?P<copy>modules_to_save|original_module)\.(?P<leaf>\w+)\Z")
# What PEFT's layers add to a module, by the method that adds it.
PARTS = {
    "LORA": re.compile(
        r"^(?P<module>.+)\.(?P<part>lora_B\.bias|lora_(?:embedding_)?[AB]|lora_magnitude_vector"
        r"|token_adapter\.trainable_tokens_delta)(?:\.weight)?\Z"
    ),
    "LOHA": re.compile(r"^(?P<module>.+)\.(?P<part>hada_(?:w[12]_[ab]|t[12]))\Z"),
    "LOKR": re.compile(r"^(?P<module>.+)\.(?P<part>lokr_(?:w[12](?:_[ab])?|t2))\Z"),
}


@dataclass
class PeftKeys:
    """The keys of a PEFT file: parts of layers by module, and whole parameters by their path."""

    parts: dict[str, dict[str, str]] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class PeftFolder:
    """A folder that PEFT's save_pretrained wrote."""

    folder: Path
    file: WeightFile
    config: Mapping[str, Any]

    @cached_property
    def keys(self) -> PeftKeys:
        """The sorted keys of the file; raises BadAdapter for one that PEFT does not write."""
        return _sorted(
            self.file,
            str(self.config["peft_type"]),
            nested=not is_off(self.config.get("target_parameters")),
        )

    def require_declared(self, module: str, keys: Collection[str]) -> None:
        """Raise BadAdapter unless a module has magnitudes just where the config says DoRA."""
        if bool(self.config.get("use_dora")) != (MAGNITUDE in keys):
            raise BadAdapter(
                f"{self.file.path}: use_dora = {self.config.get('use_dora')!r}, but module "
                f"{module!r} has {'a' if MAGNITUDE in keys else 'no'} magnitude vector"
            )

    def on(self, family: Family, base: WeightIndex) -> PeftOnBase:
        """The same adapter for one base."""
        return PeftOnBase(self.folder, self.file, self.config, family, base)


def holds_peft(source: Path) -> bool:
    """Whether `source` is a folder that PEFT's save_pretrained wrote, or a part of one."""
    return any((source / name).is_file() for name in (CONFIG, WEIGHTS))


def read_peft(folder: Path) -> PeftFolder:
    """The adapter in `folder`; raises BadAdapter, or BadWeights for a broken file."""
    return PeftFolder(folder, _weights(folder), read_any_config(folder))


def read_scaling_peft(folder: Path, kinds: Collection[str] = tuple(KINDS)) -> PeftFolder:
    """The adapter in `folder` if it is one of `kinds` and its matrices are all that it adds."""
    return PeftFolder(folder, _weights(folder), read_scaling_config(folder, kinds))


def _weights(folder: Path) -> WeightFile:
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = [path.name for path in folder.iterdir() if path.suffix in PICKLES]
        found = f" (it holds {', '.join(pickles)}, which is never loaded)" if pickles else ""
        raise BadAdapter(f"{folder} holds no {WEIGHTS}{found}")
    return _without_copies(read_header(path))


def _without_copies(file: WeightFile) -> WeightFile:
    """The file without what PEFT stores of a saved embedding a second time, and does not read.

    It does so where the vocabulary was resized (`save_embedding_layers`): the saved value once more,
    and that before the training. Raises BadAdapter for a copy that is another value.
    """
    kept = dict(file.tensors)
    for key in file.tensors:
        match = COPY.match(key)
        plain = f"{match['module']}.{match['leaf']}" if match else ""
        if match is None or plain not in file.tensors:
            continue
        if match["copy"] == "modules_to_save" and file.read(key) != file.read(plain):
            raise BadAdapter(f"{file.path}: {key!r} and {plain!r} are one parameter and differ")
        del kept[key]
    return replace(file, tensors=kept)


def _sorted(file: WeightFile, kind: str, *, nested: bool) -> PeftKeys:
    keys = PeftKeys()
    for key in file.tensors:
        if not key.startswith(PREFIX):
            raise BadAdapter(f"{file.path}: {key!r} is not a key of a PEFT adapter")
        path = key.removeprefix(PREFIX)
        other = [name for name, pattern in PARTS.items() if name != kind and pattern.match(path)]
        if other:
            raise BadAdapter(
                f"{file.path}: {key!r} belongs to {other[0]}, its config says {kind}",
                "PEFT would silently ignore it.",
            )
        match = PARTS[kind].match(path)
        if match is None:
            # The embedding around rows of tokens, where the vocabulary was resized.
            keys.saved[path.replace(".token_adapter.base_layer.", ".base_layer.")] = key
        elif (
            ".base_layer." in f".{NESTED.sub('', match['module']) if nested else match['module']}."
        ):
            # Measured with PEFT 0.21.2: both forward and merge_and_unload add the output
            # projection's Delta twice, so what such an adapter means depends on PEFT's version.
            raise BadAdapter(
                f"{file.path}: {key!r} is a LoRA on nn.MultiheadAttention, whose output "
                "projection PEFT adds twice: what it means depends on PEFT's version",
                "Train on the MLP and the embeddings (c_fc, c_proj, token_embedding).",
            )
        else:
            keys.parts.setdefault(match["module"], {})[match["part"]] = key
    if not keys.parts:
        raise BadAdapter(f"{file.path} holds no LoRA matrices")
    return keys


@dataclass(frozen=True)
class PeftOnBase(PeftFolder):
    """An adapter and the base that it is for."""

    family: Family
    base: WeightIndex

    @cached_property
    def key_map(self) -> KeyMap:
        return self.family.key_map(self.base.folder, self.base)

    @cached_property
    def tree(self) -> Mapping[str, nn.Module]:
        """The base's modules without weights, by path."""
        return self.family.module_tree(self.base.folder)

    def weight(self, module: str) -> str:
        """The base's tensor for a module's weight; raises WrongBase, or as the key map."""
        return self.parameter(module, "weight")

    def parameter(self, module: str, leaf: str) -> str:
        """The base's tensor for a parameter of a module; raises WrongBase, or as the key map."""
        found = find_parameter(self.key_map, self.base, module, leaf)
        if found is None and leaf != "weight":
            found = find_by_neighbours(self.tree, self.key_map, self.base, module, leaf)
        if found is None:
            raise WrongBase(
                f"{self.folder} changes a module {module!r} ({leaf}) that the base in "
                f"{self.base.folder} does not have",
                "The adapter is for another model, or for a version of this one with other modules.",
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


def ancestors(path: str) -> Iterator[str]:
    """The paths of the modules around a module or a parameter, the nearest first."""
    while "." in path:
        path = path.rpartition(".")[0]
        yield path


def find_by_neighbours(
    modules: Collection[str], key_map: KeyMap, base: WeightIndex, module: str, leaf: str
) -> str | None:
    """The base's tensor for a parameter of a module that has no weight, by how others are named.

    Checkpoints rename whole towers: what became of a module within `module`, or near it, became of
    its own parameters too. `modules` are the paths of all modules.
    """
    for around in (module, *ancestors(module)) if module else ():
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
    return None
