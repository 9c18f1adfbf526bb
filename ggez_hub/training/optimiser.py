"""AdamW over what learns: its rate, and a step, which divides and clips gradients first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from ggez_hub.training.recipe import Optimiser
from ggez_hub.training.sharding import complete_tensor, is_sharded, shape_of

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]


class AdamW(torch.optim.AdamW):
    """AdamW of a module that each process has, or that is sharded by FSDP2.

    Gains and biases are not decayed. `learning` are its parameters by the number in its state.
    """

    def __init__(self, module: nn.Module, settings: Optimiser, accelerator: Accelerator) -> None:
        all_learning = [p for p in module.parameters() if p.requires_grad]
        # Scalars are by themselves: of a sharded model they are complete.
        matrices, vectors, scalars = (
            [p for p in all_learning if min(len(shape_of(p)), 2) == n] for n in (2, 1, 0)
        )
        groups = [
            {"params": matrices, "weight_decay": settings.weight_decay},
            {"params": vectors, "weight_decay": 0.0},
            {"params": scalars, "weight_decay": 0.0},
        ]
        super().__init__(
            [group for group in groups if group["params"]],
            lr=settings.learning_rate,
            betas=settings.betas,
            eps=settings.epsilon,
        )
        self.learning = [*matrices, *vectors, *scalars]
        self._max_norm = math.inf if settings.max_grad_norm == "none" else settings.max_grad_norm
        self._accelerator = accelerator

    def update(self, factor: float) -> float:
        """Multiply the gradients, of which processes have taken the mean, clip them and step.

        Returns their norm before it is clipped; if it is not finite, no weight changes.
        """
        learning = [p for p in self.learning if p.grad is not None]
        # Parts and complete tensors are not added up together.
        parts, complete = ([p for p in learning if is_sharded(p) is part] for part in (True, False))
        for parameter in complete if parts else ():
            parameter.grad = self._accelerator.reduce(parameter.grad, reduction="mean")
        for parameter in learning:
            parameter.grad.mul_(factor)  # type: ignore[union-attr]
        alike = [group for group in (parts, complete) if group]
        norms = [complete_tensor(get_total_norm([p.grad for p in group])) for group in alike]  # type: ignore[misc]
        norm = norms[0] if len(norms) == 1 else get_total_norm(norms)
        if norm.isfinite():
            for group in alike:
                clip_grads_with_norm_(group, self._max_norm, norm)
            self.step()
        self.zero_grad(set_to_none=True)
        return float(norm)

    def close(self) -> None:
        """Leave the module as it is."""


def learning_rate(settings: Optimiser, step: int, steps: int) -> float:
    """Linear up over the share `warmup` of the steps, then linear down to zero after the last."""
    warm = round(settings.warmup * steps)
    if step < warm:
        return settings.learning_rate * (step + 1) / warm
    return settings.learning_rate * (steps - step) / (steps - warm)
