"""A LoRA as diffusers keeps it: one file, whose metadata holds rank and scale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ggez_hub.merging.adapters.lora_scales import METADATA_KEY
from ggez_hub.training.diffusion.backbones import backbone_of

FILE = "pytorch_lora_weights.safetensors"
# What PEFT puts before the names of a model's modules.
PEFT = "base_model.model."


def write_lora(model: Any, folder: Path, repo: str, revision: str | None) -> None:
    """Write a PeftModel around a denoiser as `pipeline.load_lora_weights(folder)` reads it.

    As `save_lora_weights` of diffusers 0.42.1 writes it, but for its second entry of metadata, `format`:
    safetensors orders two entries at random, and the same weights are to be the same file. The file
    names no base; the card beside it does, by `repo` and `revision`.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    component = f"{backbone_of(model).component}."
    config = {
        component + name: sorted(value) if isinstance(value, set) else value
        for name, value in model.peft_config["default"].to_dict().items()
    }
    factors = {
        component + name.removeprefix(PEFT): factor.contiguous().cpu()
        for name, factor in get_peft_model_state_dict(model).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(factors, folder / FILE, {METADATA_KEY: json.dumps(config, indent=2, sort_keys=True)})
