"""A model that carries its LoRA, at any beta."""

from __future__ import annotations

from torch import nn


def scale(model: nn.Module, beta: float) -> None:
    """Make the model base + beta * Delta."""
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        if isinstance(module, LoraLayer):
            for adapter in module.lora_alpha:
                module.set_scale(adapter, beta)
