"""A model that carries its LoRA, at any beta."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn


def scale(model: nn.Module, beta: float) -> None:
    """Make the model base + beta * Delta."""
    for layer in _layers(model):
        for adapter in layer.lora_alpha:
            layer.set_scale(adapter, beta)


@contextmanager
def merged(model: nn.Module, beta: float) -> Iterator[None]:
    """The same with beta * Delta added to the weights: as fast as a model without a LoRA."""
    scale(model, beta)
    layers = _layers(model)
    for layer in layers:
        layer.merge()
    try:
        yield
    finally:
        for layer in layers:
            layer.unmerge()


def _layers(model: nn.Module) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]
