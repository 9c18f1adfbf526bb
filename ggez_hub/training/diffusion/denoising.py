"""A UNet in training: it is shown latents with noise, and predicts the noise or the velocity."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ggez_hub.training.diffusion.average import Average
from ggez_hub.training.diffusion.latents import LATENTS, decoded, encode_captions, encoded
from ggez_hub.training.diffusion.pipelines import noise_schedule
from ggez_hub.training.diffusion.recipe import DiffusionRecipe
from ggez_hub.training.learner import Learner, Loss

if TYPE_CHECKING:
    import datasets


class Denoising(Learner):
    """The UNet of a pipeline; all else of the pipeline is kept aside and does not learn."""

    def __init__(self, pipeline: Any, recipe: DiffusionRecipe) -> None:
        super().__init__()
        self.model = pipeline.unet
        # The rest goes to a device and back while the UNet stays where it is.
        pipeline.unet = None
        self._recipe = recipe
        self._schedule = noise_schedule(pipeline)
        # In a list: it is no part of this module, neither its parameters nor its state.
        self._aside = [pipeline]
        self._without: dict[str, Tensor] = {}
        self._average: Average | None = None

    def begin(self, stage: str) -> None:
        if self._recipe.ema != "none":
            self._average = Average(self.model, self._recipe.ema)

    def prepared(
        self, rows: datasets.Dataset, place: Path, device: torch.device
    ) -> datasets.Dataset:
        (pipeline,) = self._aside
        self._without = {
            name: tensor.cpu() for name, tensor in encode_captions(pipeline, [""]).items()
        }
        return encoded(pipeline, rows, place, self._recipe.resolution, device)

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return decoded(rows)

    def forward(self, **batch: Tensor) -> Loss:
        """latents (n, 2, c, h, w), and what the UNet is told: the Loss over n pictures."""
        (pipeline,) = self._aside
        mean, deviation = batch.pop(LATENTS).unbind(1)
        shift = pipeline.vae.config.get("shift_factor") or 0.0
        latents = mean + deviation * torch.randn_like(mean)
        latents = (latents - shift) * pipeline.vae.config.scaling_factor
        count = len(latents)
        noise = torch.randn_like(latents)
        total = self._schedule.config.num_train_timesteps
        steps = torch.randint(total, (count,), device=latents.device)
        noisy = self._schedule.add_noise(latents, noise, steps)
        hidden, added = self._told(batch)
        dtype = next(self.model.parameters()).dtype
        predicted = self.model(
            noisy.to(dtype), steps, encoder_hidden_states=hidden, added_cond_kwargs=added
        ).sample.float()
        wanted = (
            self._schedule.get_velocity(latents, noise, steps)
            if self._schedule.config.prediction_type == "v_prediction"
            else noise
        )
        losses = (predicted - wanted.float()).square().mean(dim=(1, 2, 3))
        return Loss(
            (losses * self._weights(steps)).sum(), torch.tensor(count, device=latents.device)
        )

    def stepped(self) -> None:
        if self._average is not None:
            self._average.update(self.model)

    def publish(self) -> None:
        if self._average is not None:
            self._average.put_into(self.model)

    def save_memory(self) -> None:
        """Compute activations again in the backward pass."""
        self.model.enable_gradient_checkpointing()  # type: ignore[operator]

    def _told(self, conditions: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor] | None]:
        """Hidden states and added conditions; some captions are left out while it learns."""
        told = dict(conditions)
        if self.training and self._recipe.caption_dropout:
            hidden = told["encoder_hidden_states"]
            out = torch.rand(len(hidden), device=hidden.device) < self._recipe.caption_dropout
            for name, empty in self._without.items():
                mask = out.view(-1, *[1] * (told[name].ndim - 1))
                told[name] = torch.where(mask, empty.to(hidden.device), told[name])
        hidden = told.pop("encoder_hidden_states")
        return hidden, told or None

    def _weights(self, steps: Tensor) -> Tensor:
        """Min-SNR: min(SNR, gamma) / SNR for the noise, / (SNR + 1) for the velocity."""
        gamma = self._recipe.min_snr
        if gamma == "none":
            return torch.ones_like(steps, dtype=torch.float32)
        from diffusers.training_utils import compute_snr

        snr = compute_snr(self._schedule, steps)
        velocity = self._schedule.config.prediction_type == "v_prediction"
        return snr.clamp(max=gamma) / (snr + 1 if velocity else snr)
