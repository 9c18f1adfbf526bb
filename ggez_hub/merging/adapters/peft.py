"""Delta of a PEFT LoRA folder: s * B @ A for each module, in float64.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint. What changes the arithmetic
in a way that is not computed here is refused by name, never approximated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ggez_hub.families import Family, KeyMap
from ggez_hub.merging.adapters.modules import LowRank, ModuleDelta, ModuleSet
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.weights import WeightFile, read_header

CONFIG = "adapter_config.json"
WEIGHTS = "adapter_model.safetensors"

KEY = re.compile(
    r"^base_model\.model\.(?P<module>.+)\.(?P<part>lora_(?:embedding_)?[AB])(?:\.weight)?$"
)

# Keys of LoraConfig that do not change what the stored matrices add to the base.
INERT = frozenset(
    {
        "alpha_pattern", "auto_mapping", "base_model_name_or_path", "ensure_weight_tying", "eva_config",
        "exclude_modules", "inference_mode", "init_lora_weights", "layers_pattern",
        "layers_to_transform", "lora_alpha", "lora_dropout", "megatron_core", "peft_type",
        "peft_version", "qalora_group_size", "r", "rank_pattern", "revision", "target_modules",
        "task_type", "use_rslora",
    }
)  # fmt: skip
# Initialisations that leave the base alone. Others (PiSSA, OLoRA, LoftQ, CorDA, LoRA-GA) move a
# part of the base into the adapter, whose matrices then do not add to the base as published.
PLAIN_INITIALISATION = (None, True, False, "gaussian", "eva", "orthogonal")
# A key that is off, or at the default that means off.
OFF: tuple[object, ...] = (None, False, "", "none", [], {})


def holds_peft(source: Path) -> bool:
    """Whether `source` is a folder that PEFT's save_pretrained wrote, or a part of one."""
    return any((source / name).is_file() for name in (CONFIG, WEIGHTS))


def open_peft(folder: Path, family: Family, base: WeightIndex) -> ModuleSet:
    """The PEFT LoRA in `folder` as Deltas for `base`.

    Raises BadAdapter for what cannot be merged exactly, WrongBase where a module or a shape does
    not fit, BadWeights for a broken file.
    """
    return ModuleSet(str(folder), _modules(folder, _weights(folder), family, base), base)


def _weights(folder: Path) -> WeightFile:
    path = folder / WEIGHTS
    if not path.is_file():
        pickles = [p.name for p in folder.iterdir() if p.suffix in {".bin", ".pt", ".ckpt"}]
        found = f" (it holds {', '.join(pickles)}, which is never loaded)" if pickles else ""
        raise BadAdapter(f"{folder} holds no {WEIGHTS}{found}")
    return read_header(path)


def read_config(folder: Path) -> dict[str, Any]:
    """The adapter_config.json of a LoRA whose arithmetic is s * B @ A; raises BadAdapter."""
    path = folder / CONFIG
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BadAdapter(f"{path} cannot be read: {error}") from error
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise BadAdapter(f"{path} describes no LoRA")
    check_options(config, path)
    return config


def check_options(config: Mapping[str, Any], path: Path) -> None:
    """Raise BadAdapter for an option of a LoraConfig, found in `path`, that is not exact here."""
    for key, value in config.items():
        if key not in INERT and not any(value is off or value == off for off in OFF):
            raise BadAdapter(
                f"{path}: {key} = {value!r} is not merged exactly here",
                "Use the adapter as it is with PEFT, or train without this option.",
            )
    if (start := config.get("init_lora_weights")) not in PLAIN_INITIALISATION:
        raise BadAdapter(
            f"{path}: init_lora_weights = {start!r} changes the base itself",
            "Convert it with PEFT: save_pretrained(..., path_initial_model_for_weight_conversion=...).",
        )


def scale_of(config: Mapping[str, Any], module: str, rank: int, path: Path) -> float:
    """The factor of B @ A by a LoraConfig; raises BadAdapter where it declares another rank."""
    if (declared := _by_pattern(config, "rank_pattern", module, config.get("r"))) != rank:
        raise BadAdapter(f"{path}: {module!r} has rank {rank}, its config says {declared}")
    alpha = float(_by_pattern(config, "alpha_pattern", module, config.get("lora_alpha")))
    return alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)


def _modules(
    folder: Path, file: WeightFile, family: Family, base: WeightIndex
) -> dict[str, ModuleDelta]:
    config, key_map = read_config(folder), family.key_map(base.folder, base)
    found: dict[str, dict[str, str]] = {}
    for key in file.tensors:
        match = KEY.match(key)
        if match is None:
            raise BadAdapter(f"{file.path}: {key!r} is no key of a PEFT LoRA")
        if ".base_layer." in match["module"]:
            # Measured with PEFT 0.21.2: both forward and merge_and_unload add the output
            # projection's Delta twice, so what such an adapter means depends on PEFT's version.
            raise BadAdapter(
                f"{file.path}: {key!r} is a LoRA on nn.MultiheadAttention, whose output "
                "projection PEFT adds twice: what it means depends on PEFT's version",
                "Train on the MLP and the embeddings (c_fc, c_proj, token_embedding).",
            )
        found.setdefault(match["module"], {})[match["part"]] = key
    modules: dict[str, ModuleDelta] = {}
    for module, parts in sorted(found.items()):
        entry = _module(folder, config, module, parts, file, key_map, base)
        if entry.target in modules:
            raise BadAdapter(f"{file.path}: two modules change the tensor {entry.target!r}")
        modules[entry.target] = entry
    if not modules:
        raise BadAdapter(f"{file.path} holds no LoRA matrices")
    return modules


def _module(
    folder: Path,
    config: Mapping[str, Any],
    module: str,
    parts: Mapping[str, str],
    file: WeightFile,
    key_map: KeyMap,
    base: WeightIndex,
) -> LowRank:
    embedding = "lora_embedding_A" in parts
    prefix = "lora_embedding_" if embedding else "lora_"
    if set(parts) != {f"{prefix}A", f"{prefix}B"}:
        raise BadAdapter(f"{file.path}: module {module!r} has only {', '.join(sorted(parts))}")
    key_a, key_b = parts[f"{prefix}A"], parts[f"{prefix}B"]
    target = key_map(module)
    if target is None:
        raise WrongBase(
            f"{folder} changes a module {module!r} that the base in {base.folder} does not have",
            "The adapter was trained on another model.",
        )
    rank = file.tensors[key_a].shape[0]
    scale = scale_of(config, module, rank, file.path)
    entry = LowRank(target, file, key_a, key_b, scale, transposed=embedding)
    entry.check(base)
    return entry


def _by_pattern(config: Mapping[str, Any], name: str, module: str, default: Any) -> Any:
    """PEFT's rule: the first pattern that matches the end of the module's path, else the default."""
    patterns: Collection[str] = config.get(name) or {}
    for pattern in patterns:
        if re.match(rf"(.*\.)?({pattern})$", module):
            return config[name][pattern]
    return default
