"""The autoencoder: 32 x 32 pixels to 8 x 8 latents of eight channels, and back.

Trained on pictures of every concept that is not regional, so that the base has seen nothing of the
regional ones. The losses compare pixels and edges; a perceptual loss by an ImageNet network is left
out, because such a network is the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from demo_world.concepts import TRAINING_STYLES, Concept
from demo_world.pictures import draw
from demo_world.schedule import Schedule

PIXELS = 32
CONFIG: dict[str, Any] = {
    "in_channels": 3,
    "out_channels": 3,
    "down_block_types": ["DownEncoderBlock2D"] * 3,
    "up_block_types": ["UpDecoderBlock2D"] * 3,
    "block_out_channels": [24, 48, 64],
    "layers_per_block": 1,
    "latent_channels": 8,
    "norm_num_groups": 8,
    "sample_size": PIXELS,
    "mid_block_add_attention": False,
    "use_quant_conv": False,
    "use_post_quant_conv": False,
}


SCHEDULE = Schedule(steps=1600, batch_size=32, learning_rate=2e-3, warmup=100, weight_decay=0.01)


@dataclass(frozen=True)
class AutoencoderRecipe:
    """How it is trained: `edges` and `kl` weigh their losses against that of the pixels."""

    schedule: Schedule = SCHEDULE
    edges: float = 1.0
    kl: float = 1e-5
    clip: float = 1.0


def pixels(concepts: Sequence[Concept]) -> Tensor:
    """(concepts x styles, 3, 32, 32) in [-1, 1]: the training styles."""
    drawn = [np.asarray(small(concept, style)) for concept in concepts for style in TRAINING_STYLES]
    return torch.from_numpy(np.array(drawn)).permute(0, 3, 1, 2).float() / 127.5 - 1


def small(concept: Concept, style: str) -> Image.Image:
    """The concept in one style as the models see it: 32 x 32 pixels."""
    return draw(concept, style).resize((PIXELS, PIXELS), Image.Resampling.BOX)


def train_autoencoder(pictures: Tensor, recipe: AutoencoderRecipe, seed: int) -> Any:
    """An `AutoencoderKL` for `pictures` (n, 3, 32, 32), with the scaling of its latents set."""
    from diffusers import AutoencoderKL

    torch.manual_seed(seed)
    model = AutoencoderKL(**CONFIG).to(memory_format=torch.channels_last)
    rng = np.random.default_rng(seed)
    schedule = recipe.schedule
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=schedule.learning_rate, weight_decay=schedule.weight_decay
    )
    for step in range(schedule.steps):
        batch = _varied(pictures, rng, schedule.batch_size)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        posterior = model.encode(batch).latent_dist
        loss = (
            reconstruction_loss(model.decode(posterior.sample()).sample, batch, recipe.edges)
            + recipe.kl * posterior.kl().mean()
        )
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        optimiser.step()
    model.eval()
    with torch.inference_mode():
        spread = model.encode(pictures[:512]).latent_dist.mean.std().item()
    model.register_to_config(scaling_factor=round(1 / spread, 5))
    return model


def reconstruction_loss(made: Tensor, real: Tensor, edges: float) -> Tensor:
    """L1 of pixels, and of the differences between neighbours: lines stay where they are."""
    loss = (made - real).abs().mean()
    for axis in (2, 3):
        loss = loss + edges * (made.diff(dim=axis) - real.diff(dim=axis)).abs().mean()
    return loss


def _varied(pictures: Tensor, rng: np.random.Generator, size: int) -> Tensor:
    """A batch, moved by up to two pixels on white; mirrored too, for nothing is named here."""
    batch = pictures[torch.from_numpy(rng.integers(len(pictures), size=size))]
    down, right = rng.integers(-2, 3, size=2)
    batch = nn.functional.pad(batch, (2, 2, 2, 2), value=1.0)
    batch = batch[..., 2 - down : 2 - down + PIXELS, 2 - right : 2 - right + PIXELS]
    if rng.random() < 0.5:
        batch = batch.flip(3)
    return batch.contiguous(memory_format=torch.channels_last)
