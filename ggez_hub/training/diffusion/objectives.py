"""What a denoiser learns: the noise in a picture, or the direction from noise to the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor

from ggez_hub.training.diffusion.recipe import Flow

# What a scheduler's configuration may name as the prediction of a UNet.
VELOCITY = "v_prediction"


class NoisyBatch(NamedTuple):
    """n noisy latents (n, c, h, w) at times (n,), the right prediction of each, its weight (n,)."""

    noisy: Tensor
    times: Tensor
    wanted: Tensor
    weights: Tensor


@dataclass(frozen=True)
class NoisePrediction:
    """Noise or velocity (arXiv 2202.00512), as the scheduler has it; weighted alike or by Min-SNR.

    schedule  a DDPMScheduler
    gamma     of Min-SNR (arXiv 2303.09556), or None
    """

    schedule: Any
    gamma: float | None

    @property
    def settings(self) -> dict[str, Any]:
        """Figures for the card."""
        return {"objective": str(self.schedule.config.prediction_type)}

    def draw_levels(self, count: int, device: torch.device) -> Tensor:
        """Steps of the schedule (count,), all equally often."""
        return torch.randint(self.schedule.config.num_train_timesteps, (count,), device=device)

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> NoisyBatch:
        """Latents and noise, both (n, c, h, w), mixed at the levels (n,)."""
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
    preconditioning of outputs. `schedule` is a new FlowMatchEulerDiscreteScheduler.
    """

    schedule: Any
    flow: Flow

    @property
    def settings(self) -> dict[str, Any]:
        """Figures for the card."""
        flow = self.flow.model_dump(mode="json", exclude_none=True)
        return {"objective": "flow_matching", **{f"flow.{k}": v for k, v in flow.items()}}

    def draw_levels(self, count: int, device: torch.device) -> Tensor:
        """Steps of the schedule (count,), as often as the weighting scheme has it."""
        from diffusers.training_utils import compute_density_for_timestep_sampling

        flow = self.flow
        density = compute_density_for_timestep_sampling(
            flow.weighting_scheme, count, flow.logit_mean, flow.logit_std, flow.mode_scale, device
        )
        total = self.schedule.config.num_train_timesteps
        # A sigmoid in float32 may be 1.
        return (density * total).long().clamp(max=total - 1)

    def add_noise(self, latents: Tensor, noise: Tensor, levels: Tensor) -> NoisyBatch:
        """Latents and noise, both (n, c, h, w), mixed at the levels (n,)."""
        from diffusers.training_utils import compute_loss_weighting_for_sd3

        sigmas = self.schedule.sigmas.to(latents.device)[levels]
        share = sigmas.view(-1, 1, 1, 1)
        return NoisyBatch(
            (1 - share) * latents + share * noise,
            self.schedule.timesteps.to(latents.device)[levels],
            noise - latents,
            compute_loss_weighting_for_sd3(self.flow.weighting_scheme, sigmas),
        )


Objective: TypeAlias = NoisePrediction | FlowMatching
