"""What a denoiser learns: the noise in a picture, or the way from noise to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from ggez_hub.training.diffusion.recipe import Flow

# What a scheduler's configuration may say that a UNet predicts.
VELOCITY = "v_prediction"


class NoisyBatch(NamedTuple):
    """n noisy latents (n, c, h, w) at times (n,), what is to be said of each, and its weight (n,)."""

    noisy: Tensor
    times: Tensor
    wanted: Tensor
    weights: Tensor


class Objective(Protocol):
    """How much noise there is, and what is to be said of it."""

    @property
    def settings(self) -> dict[str, Any]:
        """It in flat figures, for the card."""
        ...

    def draw(self, count: int, device: torch.device) -> Tensor:
        """So many random levels of noise, (count,) whole numbers, by torch's own generator."""
        ...

    def ask(self, latents: Tensor, noise: Tensor, levels: Tensor) -> NoisyBatch:
        """Latents and noise, both (n, c, h, w), mixed at the levels (n,)."""
        ...


@dataclass(frozen=True)
class NoisePrediction:
    """Noise or velocity (arXiv 2202.00512), as the scheduler says; all levels alike or by Min-SNR.

    schedule  a DDPMScheduler
    gamma     of Min-SNR (arXiv 2303.09556), or None
    """

    schedule: Any
    gamma: float | None

    @property
    def settings(self) -> dict[str, Any]:
        return {"objective": str(self.schedule.config.prediction_type)}

    def draw(self, count: int, device: torch.device) -> Tensor:
        """Steps of the schedule, all equally often."""
        return torch.randint(self.schedule.config.num_train_timesteps, (count,), device=device)

    def ask(self, latents: Tensor, noise: Tensor, levels: Tensor) -> NoisyBatch:
        wanted = self.schedule.get_velocity(latents, noise, levels) if self._velocity else noise
        return NoisyBatch(
            self.schedule.add_noise(latents, noise, levels), levels, wanted, self.weights(levels)
        )

    def weights(self, levels: Tensor) -> Tensor:
        """Min-SNR: min(SNR, gamma) / SNR for the noise, / (SNR + 1) for the velocity."""
        if self.gamma is None:
            return torch.ones_like(levels, dtype=torch.float32)
        from diffusers.training_utils import compute_snr

        snr: Tensor = compute_snr(self.schedule, levels)
        return snr.clamp(max=self.gamma) / (snr + 1 if self._velocity else snr)

    @property
    def _velocity(self) -> bool:
        return bool(self.schedule.config.prediction_type == VELOCITY)


@dataclass(frozen=True)
class FlowMatching:
    """Rectified flow (arXiv 2209.03003, 2403.03206): noise minus latents, on the line between them.

    Levels are drawn and weighted as in diffusers' scripts for SD3 and Flux, without their
    preconditioning of outputs.

    schedule  a FlowMatchEulerDiscreteScheduler as its configuration makes it, not yet set to steps
    """

    schedule: Any
    asked: Flow

    @property
    def settings(self) -> dict[str, Any]:
        asked = self.asked.model_dump(mode="json", exclude_none=True)
        return {"objective": "flow_matching", **{f"flow.{k}": v for k, v in asked.items()}}

    def draw(self, count: int, device: torch.device) -> Tensor:
        """Steps of the schedule, as often as the weighting scheme has it."""
        from diffusers.training_utils import compute_density_for_timestep_sampling

        asked = self.asked
        density = compute_density_for_timestep_sampling(
            asked.weighting_scheme,
            count,
            asked.logit_mean,
            asked.logit_std,
            asked.mode_scale,
            device,
        )
        total = self.schedule.config.num_train_timesteps
        # A sigmoid in float32 may be 1.
        return (density * total).long().clamp(max=total - 1)

    def ask(self, latents: Tensor, noise: Tensor, levels: Tensor) -> NoisyBatch:
        from diffusers.training_utils import compute_loss_weighting_for_sd3

        sigmas = self.schedule.sigmas.to(latents.device)[levels]
        share = sigmas.view(-1, 1, 1, 1)
        return NoisyBatch(
            (1 - share) * latents + share * noise,
            self.schedule.timesteps.to(latents.device)[levels],
            noise - latents,
            compute_loss_weighting_for_sd3(self.asked.weighting_scheme, sigmas),
        )
