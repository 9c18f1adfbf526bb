"""The scale of a module of a LoRA file: alpha / rank.

alpha comes from the LoraConfig in the file's metadata, from the module's own key, or is the rank
itself. Measured with diffusers 0.42.1: its loader rounds the scales of Flux into the matrices,
takes the commonest alpha of the file for attention modules whose alphas differ, and ignores the
alpha of Flux's final layer. Here each module has its own, in float64.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from ggez_hub.merging.adapters.lora_file import LoraFile, LoraModule
from ggez_hub.merging.adapters.lycoris import LoKr
from ggez_hub.merging.adapters.peft_config import (
    LYCORIS,
    check_options,
    lycoris_rank_and_scale,
    moved_by,
    require_plain,
    scale_of,
)
from ggez_hub.merging.deltas import BadAdapter

# Where diffusers keeps the LoraConfigs of a file, as `<component>.<option>`:
# diffusers.loaders.lora_base.LORA_ADAPTER_METADATA_KEY.
METADATA_KEY = "lora_adapter_metadata"
# What diffusers reads there, and the options that are computed for it.
KINDS: Mapping[str, Collection[str]] = {"LORA": ("use_dora", "lora_bias"), "LOKR": LYCORIS}


@dataclass(frozen=True)
class Scales:
    """The scales of one file; `configs` by component, that of a single model as ""."""

    lora: LoraFile
    configs: Mapping[str, Mapping[str, Any]]
    components: Collection[str]

    @classmethod
    def of(cls, lora: LoraFile, components: Collection[str]) -> Scales:
        """Read the file's metadata; raises BadAdapter for what is not merged exactly."""
        return cls(lora, _configs(lora), components)

    def scale(self, module: LoraModule, path: str) -> float:
        """The factor for the module at `path`, which starts with a component or not.

        Raises BadAdapter where the file does not give it, or contradicts itself.
        """
        config, rest = self._config(path)
        if config is not None:
            return self._declared(config, module, rest)
        rank = self.rank(module)
        # Two whole factors are trained without a scale, whatever alpha stands beside them.
        return 1.0 if module.alpha is None or rank is None else module.alpha / rank

    def _config(self, path: str) -> tuple[Mapping[str, Any] | None, str]:
        component, _, rest = path.partition(".")
        if component in self.configs:
            return self.configs[component], rest
        if "" in self.configs and component not in self.components:
            return self.configs[""], path
        if self.configs:
            # diffusers would take the defaults of a LoraConfig, whatever they are.
            raise BadAdapter(
                f"{self.lora.file.path}: {METADATA_KEY} has no LoraConfig for the module {path!r}",
                "The scale of that module is not known.",
            )
        return None, path

    def _declared(self, config: Mapping[str, Any], module: LoraModule, path: str) -> float:
        file = self.lora.file.path
        if module.kind == "LoKr":
            return lycoris_rank_and_scale(config, path, file)[1]
        for option, part in (("use_dora", "magnitude"), ("lora_bias", "bias")):
            # PEFT gives embeddings no bias.
            optional = part == "bias" and module.kind != "LoRA"
            if bool(config.get(option)) != (part in module.parts) and not optional:
                raise BadAdapter(
                    f"{file}: {option} = {config.get(option)!r}, but module {path!r} has "
                    f"{'a' if part in module.parts else 'no'} {part}"
                )
        return scale_of(config, path, self.rank(module) or 0, file)

    def rank(self, module: LoraModule) -> int | None:
        """What an alpha is divided by; None for a LoKr of two whole factors, and for differences."""
        tensors, parts = self.lora.file.tensors, module.parts
        if module.kind == "LoKr":
            return LoKr.own_rank(self.lora.file, parts)
        key = next((parts[p] for p in ("A", "embedding_A", "hada_w1_b", "b2") if p in parts), None)
        return tensors[key].shape[0] if key is not None and tensors[key].shape else None


def _configs(lora: LoraFile) -> dict[str, dict[str, Any]]:
    """The LoraConfigs in the file's metadata, by component; raises BadAdapter.

    The file of one model, as `save_lora_adapter` writes it, has one that names no component: "".
    """
    raw = lora.file.metadata.get(METADATA_KEY)
    if raw is None:
        return {}
    try:
        options = json.loads(raw)
        split = [(*key.rpartition("."), value) for key, value in options.items()]
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise BadAdapter(f"{lora.file.path}: {METADATA_KEY} cannot be read: {error}") from error
    if any(module.alpha is not None for module in lora.modules):
        raise BadAdapter(
            f"{lora.file.path} gives its scales twice: in {METADATA_KEY} and by alpha keys"
        )
    configs: dict[str, dict[str, Any]] = {}
    for component, _, option, value in split:
        configs.setdefault(component, {})[option] = value
    for config in configs.values():
        kind = config.get("peft_type") or "LORA"
        if kind not in KINDS:
            raise BadAdapter(f"{lora.file.path}: {METADATA_KEY} describes {kind!r}")
        require_plain(config, lora.file.path)
        check_options(config, lora.file.path, KINDS[kind])
        if moved_by(config) is not None:
            raise BadAdapter(
                f"{lora.file.path}: {METADATA_KEY} says that its training moved a part of the base "
                f"into it: init_lora_weights = {config['init_lora_weights']!r}",
                "Convert it with PEFT to a plain LoRA.",
            )
    return configs
