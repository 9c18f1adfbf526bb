"""The schedule by which the world's models are trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch


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


def use_one_thread() -> None:
    """Make what follows reproducible: sums are always taken in the same order."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
