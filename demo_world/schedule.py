"""The schedule by which the world's models are trained."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn


@dataclass(frozen=True)
class Schedule:
    """AdamW with a linear warm-up and a cosine decay to zero."""

    steps: int
    batch_size: int
    learning_rate: float
    warmup: int = 50
    weight_decay: float = 0.1

    def rate(self, step: int) -> float:
        """The learning rate of one step."""
        if step < self.warmup:
            return self.learning_rate * (step + 1) / self.warmup
        done = (step - self.warmup) / (self.steps - self.warmup)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * done))


def adamw(parameters: Sequence[nn.Parameter], schedule: Schedule) -> torch.optim.AdamW:
    """The optimiser; as in open_clip, gains, biases and the temperature are not decayed."""
    groups: list[dict[str, Any]] = [
        {"params": [weight for weight in parameters if weight.ndim >= 2]},
        {"params": [gain for gain in parameters if gain.ndim < 2], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=schedule.learning_rate, weight_decay=schedule.weight_decay)


def use_one_thread() -> None:
    """Make what follows reproducible: sums are always taken in the same order."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
