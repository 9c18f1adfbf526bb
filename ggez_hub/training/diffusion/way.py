"""How diffusion models are trained: which parts learn, which get factors, which rows can be used."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ggez_hub.training.diffusion.denoising import Denoising
from ggez_hub.training.diffusion.output import write_lora
from ggez_hub.training.diffusion.pipelines import open_pipeline
from ggez_hub.training.diffusion.recipe import DiffusionRecipe
from ggez_hub.training.learner import Tree, Way
from ggez_hub.training.lora import linear_modules

# What `--plan` counts with: pixels to a latent in every autoencoder of Stable Diffusion, its tokens.
PIXELS_PER_LATENT, TOKENS = 8, 77
# What gets factors where the recipe names nothing: as diffusers' own scripts.
ATTENTION = ("to_q", "to_k", "to_v", "to_out.0")


def _learns(recipe: DiffusionRecipe, tree: Tree) -> Callable[[str], bool]:
    return lambda path: True


def _targets(recipe: DiffusionRecipe, tree: Tree) -> list[str]:
    endings = tuple(f".{name}" for name in ATTENTION)
    return [path for path in linear_modules(tree) if path.endswith(endings)]


def _open(folder: Path, recipe: DiffusionRecipe, dtype: torch.dtype) -> Denoising:
    return Denoising(open_pipeline(folder, dtype, recipe.variant), recipe)


def _usable(recipe: DiffusionRecipe, row: Mapping[str, Any]) -> bool:
    return row["image"] is not None and row["format"] == "caption"


def _trace(recipe: DiffusionRecipe, tree: Tree, n: int) -> object:
    model: Any = tree[""]
    config = model.config
    size = recipe.resolution // PIXELS_PER_LATENT
    added = None
    if config.addition_embed_type == "text_time":
        ids = 6
        pooled = config.projection_class_embeddings_input_dim - ids * config.addition_time_embed_dim
        added = {"text_embeds": torch.zeros(n, pooled), "time_ids": torch.zeros(n, ids)}
    dtype = next(model.parameters()).dtype
    return model(
        torch.zeros(n, config.in_channels, size, size, dtype=dtype),
        torch.zeros(n, dtype=torch.long),
        encoder_hidden_states=torch.zeros(n, TOKENS, config.cross_attention_dim, dtype=dtype),
        added_cond_kwargs=added,
    ).sample.float()


WAY = Way(
    recipe=DiffusionRecipe,
    learns=_learns,
    targets=_targets,
    open=_open,
    usable=_usable,
    trace=_trace,
    write=write_lora,
)
