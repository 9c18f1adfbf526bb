"""How diffusion models are trained: what gets factors, what a run keeps, how a LoRA is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ggez_hub.merging.adapters.lora_scales import METADATA_KEY
from ggez_hub.training.backend import ModuleTree, TrainingBackend
from ggez_hub.training.diffusion.backbones import PIXELS_PER_LATENT, Conditions, backbone_of
from ggez_hub.training.diffusion.denoiser import DiffusionModule
from ggez_hub.training.diffusion.pipelines import check_pipeline, open_pipeline
from ggez_hub.training.diffusion.recipe import DiffusionRecipe
from ggez_hub.training.examples import caption_problem
from ggez_hub.training.lora import linear_modules

FILE = "pytorch_lora_weights.safetensors"
# What PEFT puts before the names of a model's modules.
PREFIX = "base_model.model."
# What gets factors where the recipe names nothing: attention, as in diffusers' own scripts. The
# second half is that of the texts, in transformers that attend to both together.
ATTENTION = (
    "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
)  # fmt: skip


def write_lora(model: Any, folder: Path, repo: str, revision: str | None) -> None:
    """Write a PeftModel around a denoiser as `pipeline.load_lora_weights(folder)` reads it.

    As `save_lora_weights` of diffusers 0.42.1 does, but without its second entry of metadata,
    `format`: safetensors orders two entries at random, and equal weights should be equal files. The
    file does not name its base; the card beside it does.
    """
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    component = f"{backbone_of(model).component}."
    config = {
        component + name: sorted(value) if isinstance(value, set) else value
        for name, value in model.peft_config["default"].to_dict().items()
    }
    factors = {
        component + name.removeprefix(PREFIX): factor.contiguous().cpu()
        for name, factor in get_peft_model_state_dict(model).items()
    }
    folder.mkdir(parents=True, exist_ok=True)
    save_file(factors, folder / FILE, {METADATA_KEY: json.dumps(config, indent=2, sort_keys=True)})


def _targets(recipe: DiffusionRecipe, tree: ModuleTree) -> list[str]:
    endings = tuple(f".{name}" for name in ATTENTION)
    return [path for path in linear_modules(tree) if path.endswith(endings)]


def _open(folder: Path, recipe: DiffusionRecipe, dtype: torch.dtype) -> DiffusionModule:
    return DiffusionModule(open_pipeline(folder, dtype, recipe.variant), recipe)


def _blank(recipe: DiffusionRecipe, tree: ModuleTree, n: int) -> tuple[Tensor, Conditions]:
    """n latents and their conditions, all zero."""
    model: Any = tree[""]
    backbone, dtype = backbone_of(model), next(model.parameters()).dtype
    channels = model.config.in_channels // backbone.packing
    side = recipe.resolution // PIXELS_PER_LATENT
    tokens = recipe.flow.max_sequence_length if recipe.flow else None
    return (
        torch.zeros(n, channels, side, side, dtype=dtype),
        backbone.blank(model.config, n, tokens, dtype),
    )


def _trace(recipe: DiffusionRecipe, tree: ModuleTree, n: int) -> object:
    latents, conditions = _blank(recipe, tree, n)
    times = torch.zeros(n, dtype=torch.long)
    return backbone_of(tree[""]).call(tree[""], latents, times, conditions, 1.0).float()


def _prepared(recipe: DiffusionRecipe, tree: ModuleTree) -> int:
    """Mean and deviation of the latents in float32, and the conditions."""
    latents, conditions = _blank(recipe, tree, 1)
    return 2 * 4 * latents.numel() + sum(t.numel() * t.element_size() for t in conditions.values())


BACKEND = TrainingBackend(
    recipe=DiffusionRecipe,
    learns=lambda recipe, tree: lambda path: True,
    targets=_targets,
    open=_open,
    row_problem=caption_problem,
    trace=_trace,
    check=check_pipeline,
    prepared=_prepared,
    write=write_lora,
)
