"""How diffusion models are trained: which parts learn, which get factors, which rows can be used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ggez_hub.training.diffusion.backbones import PIXELS_PER_LATENT, Conditions, backbone_of
from ggez_hub.training.diffusion.denoising import Denoising
from ggez_hub.training.diffusion.output import write_lora
from ggez_hub.training.diffusion.pipelines import check_pipeline, open_pipeline
from ggez_hub.training.diffusion.recipe import DiffusionRecipe
from ggez_hub.training.learner import Tree, Way
from ggez_hub.training.lora import linear_modules
from ggez_hub.training.unused import uncaptioned

# What gets factors where the recipe names nothing: attention, as in diffusers' own scripts. The
# latter half is that of the texts, in transformers that attend to both together.
ATTENTION = (
    "to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out",
)  # fmt: skip


def _targets(recipe: DiffusionRecipe, tree: Tree) -> list[str]:
    endings = tuple(f".{name}" for name in ATTENTION)
    return [path for path in linear_modules(tree) if path.endswith(endings)]


def _open(folder: Path, recipe: DiffusionRecipe, dtype: torch.dtype) -> Denoising:
    return Denoising(open_pipeline(folder, dtype, recipe.variant), recipe)


def _blank(recipe: DiffusionRecipe, tree: Tree, n: int) -> tuple[Tensor, Conditions]:
    """n latents and what is told of each, all zero."""
    model: Any = tree[""]
    backbone, dtype = backbone_of(model), next(model.parameters()).dtype
    side = recipe.resolution // PIXELS_PER_LATENT
    tokens = recipe.flow.max_sequence_length if recipe.flow else None
    return (
        torch.zeros(n, backbone.channels(model.config), side, side, dtype=dtype),
        backbone.blank(model.config, n, tokens, dtype),
    )


def _trace(recipe: DiffusionRecipe, tree: Tree, n: int) -> object:
    latents, told = _blank(recipe, tree, n)
    model = tree[""]
    times = torch.zeros(n, dtype=torch.long)
    return backbone_of(model).call(model, latents, times, told, 1.0).float()


def _prepared(recipe: DiffusionRecipe, tree: Tree) -> int:
    """Mean and deviation of the latents in float32, and the conditions."""
    latents, told = _blank(recipe, tree, 1)
    return 2 * 4 * latents.numel() + sum(t.numel() * t.element_size() for t in told.values())


WAY = Way(
    recipe=DiffusionRecipe,
    learns=lambda recipe, tree: lambda path: True,
    targets=_targets,
    open=_open,
    unused=lambda recipe, row: uncaptioned(row),
    trace=_trace,
    check=check_pipeline,
    prepared=_prepared,
    write=write_lora,
)
