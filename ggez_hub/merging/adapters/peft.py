"""Deltas of a PEFT folder: LoRA with its variants, LoHa, LoKr, and what they save beside.

Other methods are left to PEFT's own layers: adapters/peft_methods.py.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint. What a key means is what
PEFT's `from_pretrained` makes of it; what it would silently ignore is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ggez_hub.families import Family
from ggez_hub.merging.adapters.module_delta import ModuleSet
from ggez_hub.merging.adapters.peft_config import (
    CONFIG,
    KINDS,
    by_layers,
    read_any_config,
    read_scaling_config,
    scale_of,
)
from ggez_hub.merging.adapters.peft_folder import PeftFolder
from ggez_hub.merging.adapters.peft_methods import open_by_layers
from ggez_hub.merging.adapters.peft_modules import PeftLoraBuilder
from ggez_hub.merging.deltas import BadAdapter, WeightIndex
from ggez_hub.safetensors_header import WeightFile, read_header

__all__ = [
    "CONFIG",
    "WEIGHTS",
    "holds_peft",
    "open_keys",
    "open_peft",
    "scale_of",
]

WEIGHTS = "adapter_model.safetensors"

PREFIX = "base_model.model."
# What PEFT's layers add to a module, by the method that adds it.
PARTS = {
    "LORA": re.compile(
        r"^(?P<module>.+)\.(?P<part>lora_B\.bias|lora_(?:embedding_)?[AB]|lora_magnitude_vector"
        r"|token_adapter\.trainable_tokens_delta)(?:\.weight)?$"
    ),
    "LOHA": re.compile(r"^(?P<module>.+)\.(?P<part>hada_(?:w[12]_[ab]|t[12]))$"),
    "LOKR": re.compile(r"^(?P<module>.+)\.(?P<part>lokr_(?:w[12](?:_[ab])?|t2))$"),
}


@dataclass
class PeftKeys:
    """The keys of a PEFT file: parts of layers by module, and whole parameters by their path."""

    parts: dict[str, dict[str, str]] = field(default_factory=dict)
    saved: dict[str, str] = field(default_factory=dict)


def holds_peft(source: Path) -> bool:
    """Whether `source` is a folder that PEFT's save_pretrained wrote, or a part of one."""
    return any((source / name).is_file() for name in (CONFIG, WEIGHTS))


def open_peft(folder: Path, family: Family, base: WeightIndex) -> ModuleSet:
    """The PEFT adapter in `folder` as Deltas for `base`.

    Raises BadAdapter for what cannot be merged exactly, WrongBase where a module or a shape does
    not fit, BadWeights for a broken file, and what the family's key map raises.
    """
    file, config = _weights(folder), read_any_config(folder)
    source = PeftFolder(folder, file, config, family, base)
    if by_layers(config):
        return ModuleSet(str(folder), open_by_layers(source), base)
    keys = sort_keys(file, config)
    return ModuleSet(str(folder), PeftLoraBuilder(source).build(keys.parts, keys.saved), base)


def open_keys(
    folder: Path, kinds: Collection[str] = tuple(KINDS)
) -> tuple[WeightFile, dict[str, Any], PeftKeys]:
    """The file, the checked config and the sorted keys of an adapter of one of `kinds`.

    Of those whose matrices are all that they add. Raises BadAdapter, or BadWeights for a broken
    file.
    """
    file, config = _weights(folder), read_scaling_config(folder, kinds)
    return file, config, sort_keys(file, config)


def _weights(folder: Path) -> WeightFile:
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = [p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".ckpt"}]
        found = f" (it holds {', '.join(pickles)}, which is never loaded)" if pickles else ""
        raise BadAdapter(f"{folder} holds no {WEIGHTS}{found}")
    return read_header(path)


def sort_keys(file: WeightFile, config: Mapping[str, object]) -> PeftKeys:
    """Sort the keys of a PEFT file; raises BadAdapter for one that PEFT does not write."""
    keys, kind = PeftKeys(), str(config["peft_type"])
    for key in file.tensors:
        if not key.startswith(PREFIX):
            raise BadAdapter(f"{file.path}: {key!r} is no key of a PEFT adapter")
        path = key.removeprefix(PREFIX)
        other = [name for name, pattern in PARTS.items() if name != kind and pattern.match(path)]
        if other:
            raise BadAdapter(
                f"{file.path}: {key!r} belongs to {other[0]}, its config says {kind}",
                "PEFT would silently ignore it.",
            )
        match = PARTS[kind].match(path)
        if match is None:
            keys.saved[path] = key
        elif ".base_layer." in f".{match['module']}.":
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
