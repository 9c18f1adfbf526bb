"""A denoiser in training: it is shown latents with noise, and says what its objective asks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ggez_hub.training.diffusion.average import Average
from ggez_hub.training.diffusion.backbones import backbone_of
from ggez_hub.training.diffusion.latents import LATENTS, Encoder, decoded
from ggez_hub.training.diffusion.pipelines import kind_of
from ggez_hub.training.diffusion.recipe import DiffusionRecipe, Flow
from ggez_hub.training.learner import Learner, Loss

if TYPE_CHECKING:
    import datasets

# What is random in a step, a row for each example.
POSTERIOR, NOISE, LEVELS, DROPPED = "posterior", "noise", "levels", "dropped"


class Denoising(Learner):
    """The denoiser of a pipeline; all else of the pipeline is kept aside and does not learn."""

    def __init__(self, pipeline: Any, recipe: DiffusionRecipe) -> None:
        super().__init__()
        kind = kind_of(pipeline)
        self._backbone = backbone = backbone_of(
            getattr(pipeline, "unet", None) or pipeline.transformer
        )
        self.model = getattr(pipeline, backbone.component)
        # The rest goes to a device and back while the denoiser stays where it is.
        setattr(pipeline, backbone.component, None)
        self._recipe = recipe
        self._guidance = (recipe.flow or Flow()).guidance_scale
        self._objective = kind.objective(pipeline, recipe)
        self._encoder = Encoder(pipeline, kind, recipe)
        self._without: dict[str, Tensor] = {}
        self._average: Average | None = None

    def begin(self, stage: str) -> None:
        if self._recipe.ema != "none":
            self._average = Average(self.model, self._recipe.ema)

    def prepared(
        self, rows: datasets.Dataset, place: Path, device: torch.device
    ) -> datasets.Dataset:
        self._without = {name: t.cpu() for name, t in self._encoder.captions([""]).items()}
        return self._encoder.encoded(rows, place, device)

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return decoded(rows)

    def drawn(
        self, batches: Sequence[Mapping[str, Any]], rank: int, processes: int
    ) -> list[Mapping[str, Any]]:
        """Noise for the batch of all processes, of which each example takes what is its own."""
        parts = [len(batch[LATENTS]) for batch in batches]
        like = batches[0][LATENTS]
        count, device = sum(parts) * processes, like.device
        shape = (count, *like.shape[2:])
        draws = {
            POSTERIOR: torch.randn(shape, device=device, dtype=like.dtype),
            NOISE: torch.randn(shape, device=device, dtype=like.dtype),
            LEVELS: self._objective.draw(count, device),
        }
        if self.training and self._recipe.caption_dropout:
            draws[DROPPED] = torch.rand(count, device=device) < self._recipe.caption_dropout
        own = {n: torch.split(t.chunk(processes)[rank], parts) for n, t in draws.items()}
        return [
            {**batch, **{name: tensors[number] for name, tensors in own.items()}}
            for number, batch in enumerate(batches)
        ]

    def forward(self, **batch: Tensor) -> Loss:
        """latents (n, 2, c, h, w), what is random, and what is told: the Loss over n pictures."""
        mean, deviation = batch.pop(LATENTS).unbind(1)
        latents = self._encoder.scaled(mean + deviation * batch.pop(POSTERIOR))
        asked = self._objective.ask(latents, batch.pop(NOISE), batch.pop(LEVELS))
        told = self._told(batch, batch.pop(DROPPED, None))
        dtype = next(self.model.parameters()).dtype
        predicted = self._backbone.call(
            self.model, asked.noisy.to(dtype), asked.times, told, self._guidance
        )
        losses = (predicted.float() - asked.wanted.float()).square().mean(dim=(1, 2, 3))
        return Loss(
            (losses * asked.weights).sum(), torch.tensor(len(latents), device=latents.device)
        )

    def follows(self) -> dict[str, Any]:
        return self._objective.settings

    def stepped(self) -> None:
        if self._average is not None:
            self._average.update(self.model)

    def publish(self) -> None:
        if self._average is not None:
            self._average.put_into(self.model)

    def save_memory(self) -> None:
        """Compute activations again in the backward pass."""
        self.model.enable_gradient_checkpointing()  # type: ignore[operator]

    def _told(self, conditions: Mapping[str, Tensor], dropped: Tensor | None) -> dict[str, Tensor]:
        """The conditions; those of an empty caption where one is dropped."""
        told = dict(conditions)
        if dropped is not None:
            for name, empty in self._without.items():
                mask = dropped.view(-1, *[1] * (told[name].ndim - 1))
                told[name] = torch.where(mask, empty.to(mask.device), told[name])
        return told
