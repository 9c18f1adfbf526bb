"""Training of the base: the projector and the language model, on what the frozen tower saw.

The base learns to name pictures, mostly in English: it is asked in a language and answers in it. A
small share of Thai is what a web-scale base has too; without it the base would be at chance there,
and any adapter's gain a straw man. The share was set before an adapter was trained.

With one thread, seeded generators and deterministic kernels, the same versions on the same kind of
CPU give the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ggez_hub.world.schedule import Schedule, adamw
from ggez_hub.world.vlm.material import IGNORED, Batch, Material


@dataclass(frozen=True)
class Regularisation:
    """What keeps the few pictures of a concept from being learnt by heart.

    `noise` is the deviation of what is added to the tower's output, in deviations of that output;
    `channel_dropout` the share of its channels that a picture loses.
    """

    label_smoothing: float = 0.05
    noise: float = 0.1
    channel_dropout: float = 0.2


@dataclass(frozen=True)
class BaseRecipe:
    """How the base is trained."""

    schedule: Schedule = field(
        default_factory=lambda: Schedule(steps=1000, batch_size=128, learning_rate=2e-3)
    )
    shares: Mapping[str, float] = field(default_factory=lambda: {"en": 0.95, "th": 0.05})
    regularisation: Regularisation = field(default_factory=Regularisation)


def train_base(model: Any, material: Material, recipe: BaseRecipe, seed: int) -> None:
    """Train all of `model` but its image tower, in place."""
    model.model.vision_tower.requires_grad_(False)
    schedule, regularisation = recipe.schedule, recipe.regularisation
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimiser = adamw(parameters, schedule)
    noise = regularisation.noise * material.features.float().std().item()
    queue: list[int] = []
    for step in range(schedule.steps):
        if len(queue) < schedule.batch_size:
            queue = rng.permutation(len(material.features)).tolist()
        rows, queue = queue[: schedule.batch_size], queue[schedule.batch_size :]
        batch = material.draw(rows, recipe.shares, rng)
        varied = batch.features + noise * torch.randn_like(batch.features)
        varied = nn.functional.dropout1d(varied.transpose(1, 2), regularisation.channel_dropout)
        for group in optimiser.param_groups:
            group["lr"] = schedule.rate(step)
        loss = nn.functional.cross_entropy(
            reply_logits(model, batch._replace(features=varied.transpose(1, 2))),
            batch.labels[batch.labels != IGNORED],
            label_smoothing=regularisation.label_smoothing,
        )
        optimiser.zero_grad()
        torch.autograd.backward(loss)
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimiser.step()


def reply_logits(model: Any, batch: Batch) -> Tensor:
    """The logits of the tokens that have labels, in the order of `labels[labels != IGNORED]`.

    What `model(input_ids, pixel_values)` computes, from the tower's output on.
    """
    inner = model.model
    embedded = inner.get_input_embeddings()(batch.ids)
    seen = inner.multi_modal_projector(batch.features)
    places = (batch.ids == model.config.image_token_index).unsqueeze(-1)
    embedded = embedded.masked_scatter(places, seen)
    hidden = inner.language_model(inputs_embeds=embedded, use_cache=False).last_hidden_state
    logits: Tensor = model.lm_head(hidden[:, :-1][batch.labels[:, 1:] != IGNORED])
    return logits
