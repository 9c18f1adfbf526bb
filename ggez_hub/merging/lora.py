"""Delta of a PEFT LoRA folder: s * B @ A for each module, in float64.

Format: https://huggingface.co/docs/peft/developer_guides/checkpoint. What changes the arithmetic
in a way that is not computed here is refused by name, never approximated.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.families import Family
from ggez_hub.merging.deltas import BadAdapter, WeightIndex, WrongBase
from ggez_hub.weights import WeightFile, read_header

if TYPE_CHECKING:
    import torch

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


@dataclass(frozen=True)
class LoraModule:
    """The pair of matrices on one module: keys into the file, scale and the base's tensor.

    `transposed` says that B @ A is the transpose of the base's tensor, as PEFT stores embeddings.
    """

    target: str
    key_a: str
    key_b: str
    scale: float
    transposed: bool


class LoraDelta:
    """A PEFT LoRA as a stream of Delta tensors."""

    def __init__(self, folder: Path, family: Family, base: WeightIndex) -> None:
        """Open the adapter in `folder` for `base`.

        Raises BadAdapter for what cannot be merged exactly, WrongBase where a module or a shape
        does not fit, BadWeights for a broken file.
        """
        self.folder = folder
        self._file = _weights(folder)
        self._modules = _modules(folder, self._file, family, base)

    @property
    def name(self) -> str:
        return str(self.folder)

    @property
    def touched(self) -> frozenset[str]:
        return frozenset(self._modules)

    def tensor(self, name: str) -> torch.Tensor:
        import torch
        from safetensors import safe_open

        module = self._modules[name]
        with safe_open(self._file.path, framework="pt") as file:
            a = file.get_tensor(module.key_a).to(torch.float64)
            b = file.get_tensor(module.key_b).to(torch.float64)
        kernel = a.shape[2:]
        delta = (b.flatten(1) @ a.flatten(1)).mul_(module.scale)
        delta = delta.reshape(b.shape[0], a.shape[1], *kernel)
        return delta.T if module.transposed else delta


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
    return config


def _modules(
    folder: Path, file: WeightFile, family: Family, base: WeightIndex
) -> dict[str, LoraModule]:
    config = read_config(folder)
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
    modules: dict[str, LoraModule] = {}
    for module, parts in sorted(found.items()):
        entry = _module(folder, config, module, parts, file, family, base)
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
    family: Family,
    base: WeightIndex,
) -> LoraModule:
    embedding = "lora_embedding_A" in parts
    prefix = "lora_embedding_" if embedding else "lora_"
    if set(parts) != {f"{prefix}A", f"{prefix}B"}:
        raise BadAdapter(f"{file.path}: module {module!r} has only {', '.join(sorted(parts))}")
    key_a, key_b = parts[f"{prefix}A"], parts[f"{prefix}B"]
    target = family.tensor_name(module, base)
    if target is None:
        raise WrongBase(
            f"{folder} changes a module {module!r} that the base in {base.folder} does not have",
            "The adapter was trained on another model.",
        )
    rank = file.tensors[key_a].shape[0]
    if (declared := _by_pattern(config, "rank_pattern", module, config.get("r"))) != rank:
        raise BadAdapter(f"{file.path}: {module!r} has rank {rank}, its config says {declared}")
    alpha = float(_by_pattern(config, "alpha_pattern", module, config.get("lora_alpha")))
    scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
    entry = LoraModule(target, key_a, key_b, scale, transposed=embedding)
    _check_shape(entry, file, base)
    return entry


def _by_pattern(config: Mapping[str, Any], name: str, module: str, default: Any) -> Any:
    """PEFT's rule: the first pattern that matches the end of the module's path, else the default."""
    patterns: Collection[str] = config.get(name) or {}
    for pattern in patterns:
        if re.match(rf"(.*\.)?({pattern})$", module):
            return config[name][pattern]
    return default


def _check_shape(entry: LoraModule, file: WeightFile, base: WeightIndex) -> None:
    a, b = file.tensors[entry.key_a].shape, file.tensors[entry.key_b].shape
    if len(a) < 2 or len(b) < 2 or any(size != 1 for size in b[2:]) or b[1] != a[0]:
        raise BadAdapter(f"{file.path}: {entry.key_b!r} {b} does not multiply {entry.key_a!r} {a}")
    shape: tuple[int, ...] = (b[0], a[1], *a[2:])
    if entry.transposed:
        shape = shape[::-1]
    if base[entry.target].shape != shape:
        raise WrongBase(
            f"{file.path} gives {shape} for {entry.target!r}, the base in {base.folder} "
            f"has {base[entry.target].shape}",
            "The adapter was trained on another model.",
        )
