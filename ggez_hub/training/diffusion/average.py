"""A moving average of the weights that learn, in buffers, so that it survives a kill."""

from __future__ import annotations

import torch
from torch import nn


class Average(nn.Module):
    """Exponential moving average of the parameters of `model` that learn.

    The decay begins low and comes to `decay`, as in diffusers' EMAModel: min(decay, (1 + n) /
    (10 + n)) in step n.
    """

    steps: torch.Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for number, parameter in enumerate(_learning(model)):
            self.register_buffer(f"average_{number}", parameter.detach().clone())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Take in the weights after a step."""
        n = int(self.steps)
        decay = min(self._decay, (1 + n) / (10 + n))
        for number, parameter in enumerate(_learning(model)):
            self.get_buffer(f"average_{number}").lerp_(parameter.detach(), 1 - decay)
        self.steps += 1

    @torch.no_grad()
    def put_into(self, model: nn.Module) -> None:
        """Give `model` the averages."""
        for number, parameter in enumerate(_learning(model)):
            parameter.copy_(self.get_buffer(f"average_{number}"))


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
