"""LoraConfigs with beta folded in: scaled ones, and ones made for scaled pairs."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ggez_hub.merging.adapters.peft_config import alpha_of
from ggez_hub.merging.forms.pairs import ScaledPair

OLD_ROOT = "text_model."


def scaled_config(config: Mapping[str, Any], beta: float) -> dict[str, Any]:
    """A LoraConfig, LoHaConfig or LoKrConfig with every alpha multiplied by beta."""
    name = "lora_alpha" if config["peft_type"] == "LORA" else "alpha"
    return {
        **config,
        name: config[name] * beta,
        "alpha_pattern": {k: v * beta for k, v in (config.get("alpha_pattern") or {}).items()},
        "inference_mode": True,
        # It names code to import.
        "auto_mapping": None,
    }


def scaled_by_module(
    config: Mapping[str, Any], betas: Mapping[str, float], folder: Path
) -> dict[str, Any]:
    """The same config with the alpha of each module multiplied by its own beta.

    `folder` is named in messages. The commonest alpha is that of the config, the others are in its
    `alpha_pattern`, one exact path each.
    """
    name = "lora_alpha" if config["peft_type"] == "LORA" else "alpha"
    alphas = {module: alpha_of(config, module, folder) * beta for module, beta in betas.items()}
    ((common, _),) = Counter(alphas.values()).most_common(1) or ((config[name], 0),)
    own = {f"^{re.escape(m)}": alpha for m, alpha in alphas.items() if alpha != common}
    return {**scaled_config(config, 1.0), name: common, "alpha_pattern": own}


def config_of(pairs: Sequence[ScaledPair]) -> dict[str, Any]:
    """A LoraConfig that gives each of the pairs, all of one component, its scale.

    Only the options that are not at PEFT's default. Modules of a text encoder are named without
    `text_model`, where CLIP's lay until transformers 5: PEFT compares the ends of paths.
    """
    rank = Counter(pair.rank for pair in pairs).most_common(1)[0][0]
    alpha = Counter(pair.alpha for pair in pairs).most_common(1)[0][0]
    return {
        "peft_type": "LORA",
        "r": rank,
        "lora_alpha": alpha,
        "rank_pattern": {_pattern(p): p.rank for p in pairs if p.rank != rank},
        "alpha_pattern": {_pattern(p): p.alpha for p in pairs if p.alpha != alpha},
        "target_modules": sorted(_end_of_path(pair) for pair in pairs),
        "inference_mode": True,
    }


def _end_of_path(pair: ScaledPair) -> str:
    if pair.component.startswith("text_encoder"):
        return pair.inner.removeprefix(OLD_ROOT)
    return pair.inner


def _pattern(pair: ScaledPair) -> str:
    """PEFT takes it for a regular expression for the end of a path, or with ^ for all of it."""
    end = re.escape(_end_of_path(pair))
    return end if pair.component.startswith("text_encoder") else f"^{end}"
