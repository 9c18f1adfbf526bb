"""AdamW and its rate."""

from __future__ import annotations

import torch

from ggez_hub.training.learner import Learner
from ggez_hub.training.recipe import Optimiser


def adamw(learner: Learner, asked: Optimiser) -> torch.optim.AdamW:
    """AdamW over what learns; gains and biases are not decayed."""
    learning = [p for p in learner.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in learning if p.ndim >= 2], "weight_decay": asked.weight_decay},
        {"params": [p for p in learning if p.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=asked.learning_rate,
        betas=asked.betas,
        eps=asked.epsilon,
    )


def learning_rate(asked: Optimiser, step: int, steps: int) -> float:
    """Linear up over the share `warmup` of the steps, then linear down to zero after the last."""
    warm = round(asked.warmup * steps)
    if step < warm:
        return asked.learning_rate * (step + 1) / warm
    return asked.learning_rate * (steps - step) / (steps - warm)
