"""A denoiser in training, and the latents and captions that it learns from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ggez_hub.images import on_white
from ggez_hub.training.backend import Loss, TrainingModule
from ggez_hub.training.diffusion.backbones import Conditions, backbone_of
from ggez_hub.training.diffusion.pipelines import encode_captions, kind_of, objective_of
from ggez_hub.training.diffusion.recipe import DiffusionRecipe, Flow
from ggez_hub.training.sharding import assign, computable

if TYPE_CHECKING:
    import datasets
    from PIL import Image

ENCODED_AT_ONCE = 8
LATENTS = "latents"
# What is random in a step, a row for each example.
POSTERIOR, NOISE, LEVELS, DROPPED = "posterior", "noise", "levels", "dropped"


class DiffusionModule(TrainingModule):
    """The denoiser of a pipeline; the rest of the pipeline does not learn.

    Latents and captions are encoded once, before the first step. Latents are kept as mean and
    standard deviation of the posterior and drawn anew in each step.
    """

    def __init__(self, pipeline: Any, recipe: DiffusionRecipe) -> None:
        super().__init__()
        denoiser = getattr(pipeline, "unet", None) or pipeline.transformer
        self._backbone = backbone_of(denoiser)
        self.model = denoiser
        # The rest goes to a device and back while the denoiser stays where it is.
        setattr(pipeline, self._backbone.component, None)
        self._recipe = recipe
        self._guidance = (recipe.flow or Flow()).guidance_scale
        self.objective = objective_of(pipeline, recipe)
        self.encoder = Encoder(pipeline, recipe)
        self._empty_caption: dict[str, Tensor] = {}
        self._average: MovingAverage | None = None

    def begin(self, stage: str) -> None:
        if self._recipe.ema != "none":
            self._average = MovingAverage(self.model, self._recipe.ema)

    def prepare(
        self, rows: datasets.Dataset, folder: Path, device: torch.device
    ) -> datasets.Dataset:
        self._empty_caption = {name: t.cpu() for name, t in self.encoder.captions([""]).items()}
        return self.encoder.table(rows, folder, device)

    def batch(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        from safetensors.torch import load

        found = [load(row["tensors"]) for row in rows]
        return {name: torch.stack([tensors[name] for tensors in found]) for name in found[0]}

    def draw(
        self, batches: Sequence[Mapping[str, Any]], rank: int, processes: int
    ) -> list[Mapping[str, Any]]:
        """Noise for the batch of all processes, of which each example takes its own."""
        parts = [len(batch[LATENTS]) for batch in batches]
        like = batches[0][LATENTS]
        count, device = sum(parts) * processes, like.device
        shape = (count, *like.shape[2:])
        draws = {
            POSTERIOR: torch.randn(shape, device=device, dtype=like.dtype),
            NOISE: torch.randn(shape, device=device, dtype=like.dtype),
            LEVELS: self.objective.draw_levels(count, device),
        }
        if self.training and self._recipe.caption_dropout:
            draws[DROPPED] = torch.rand(count, device=device) < self._recipe.caption_dropout
        own = {n: torch.split(t.chunk(processes)[rank], parts) for n, t in draws.items()}
        return [
            {**batch, **{name: tensors[number] for name, tensors in own.items()}}
            for number, batch in enumerate(batches)
        ]

    def forward(self, **batch: Tensor) -> Loss:
        """The Loss over n pictures: latents (n, 2, c, h, w), what is random, and the conditions."""
        mean, deviation = batch.pop(LATENTS).unbind(1)
        latents = self.encoder.scale(mean + deviation * batch.pop(POSTERIOR))
        noisy = self.objective.add_noise(latents, batch.pop(NOISE), batch.pop(LEVELS))
        dropped = batch.pop(DROPPED, None)
        if dropped is not None:
            for name, empty in self._empty_caption.items():
                mask = dropped.view(-1, *[1] * (batch[name].ndim - 1))
                batch[name] = torch.where(mask, empty.to(mask.device), batch[name])
        dtype = next(self.model.parameters()).dtype
        predicted = self._backbone.call(
            self.model, noisy.noisy.to(dtype), noisy.times, batch, self._guidance
        )
        losses = (predicted.float() - noisy.wanted.float()).square().mean(dim=(1, 2, 3))
        return Loss(
            (losses * noisy.weights).sum(), torch.tensor(len(latents), device=latents.device)
        )

    def derived_settings(self) -> dict[str, Any]:
        return self.objective.settings

    def after_step(self) -> None:
        if self._average is not None:
            self._average.update(self.model)

    def finish(self) -> None:
        if self._average is not None:
            self._average.copy_to(self.model)

    def save_memory(self) -> None:
        self.model.enable_gradient_checkpointing()


@dataclass(frozen=True)
class Encoder:
    """The autoencoder and the text encoders of a pipeline, which do not learn."""

    pipeline: Any
    recipe: DiffusionRecipe

    def table(self, rows: datasets.Dataset, folder: Path, device: torch.device) -> datasets.Dataset:
        """The table of `latents` (mean and deviation) and conditions, as safetensors in each row."""
        import datasets

        folder.mkdir(parents=True, exist_ok=True)
        self.pipeline.to(device)
        table = rows.map(
            lambda batch: {"tensors": self.encode(batch)},
            batched=True,
            batch_size=ENCODED_AT_ONCE,
            remove_columns=rows.column_names,
            features=datasets.Features({"tensors": datasets.Value("binary")}),
            cache_file_name=str(folder / "latents.arrow"),
            new_fingerprint="latents",
        )
        # The memory is the denoiser's from here on.
        self.pipeline.to("cpu")
        return table

    def captions(self, captions: Sequence[str]) -> Conditions:
        """The conditions of each caption, on the pipeline's device."""
        with torch.no_grad():
            return encode_captions(self.pipeline, captions, self.recipe)

    def scale(self, latents: Tensor) -> Tensor:
        """Latents as the denoiser takes them: about of mean 0 and deviation 1."""
        config = self.pipeline.vae.config
        scaled: Tensor = (latents - (config.get("shift_factor") or 0.0)) * config.scaling_factor
        return scaled

    def encode(self, batch: Mapping[str, list[Any]]) -> list[bytes]:
        """Latents and conditions of each of the rows in columns, as safetensors."""
        from safetensors.torch import save

        size, vae = self.recipe.resolution, self.pipeline.vae
        pixels, sizes = [], []
        for stored in batch["image"]:
            picture = on_white(stored["bytes"])
            cut, corner = square(picture, size)
            sizes.append([picture.height, picture.width, *corner, size, size])
            pixels.append(torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1))
        tensors: dict[str, Tensor] = dict(self.captions(batch["text"]))
        if kind_of(self.pipeline).sized:
            tensors["time_ids"] = torch.tensor(sizes, dtype=torch.float32)
        with torch.no_grad():
            posterior = vae.encode(
                torch.stack(pixels).to(vae.device, vae.dtype) / 127.5 - 1
            ).latent_dist
            tensors[LATENTS] = torch.stack([posterior.mean, posterior.std], dim=1)
        return [
            save({name: tensor[n].contiguous().cpu() for name, tensor in tensors.items()})
            for n in range(len(pixels))
        ]


def square(picture: Image.Image, size: int) -> tuple[Image.Image, tuple[int, int]]:
    """The middle of the picture as `size` x `size` pixels, and the corner (top, left) of the cut."""
    from PIL import Image

    scale = size / min(picture.size)
    width, height = (max(size, round(side * scale)) for side in picture.size)
    # Lanczos filters what is made smaller; a picture that fits is taken as it is.
    resized = picture.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - size) // 2, (height - size) // 2
    return resized.crop((left, top, left + size, top + size)), (top, left)


class MovingAverage(nn.Module):
    """Exponential moving average of the parameters of `model` that learn, in buffers.

    As in diffusers' EMAModel, the decay in step n is min(decay, (1 + n) / (10 + n)).
    """

    steps: torch.Tensor

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__()
        self._decay = decay
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        for number, parameter in enumerate(_learning(model)):
            self.register_buffer(f"average_{number}", computable(parameter).clone())

    @torch.no_grad()
    def update(self, model: nn.Module) -> None:
        """Add the weights after a step."""
        n = int(self.steps)
        decay = min(self._decay, (1 + n) / (10 + n))
        for number, parameter in enumerate(_learning(model)):
            self.get_buffer(f"average_{number}").lerp_(computable(parameter), 1 - decay)
        self.steps += 1

    def copy_to(self, model: nn.Module) -> None:
        """Replace the weights of `model` by the averages."""
        for number, parameter in enumerate(_learning(model)):
            assign(parameter, self.get_buffer(f"average_{number}"))


def _learning(model: nn.Module) -> list[nn.Parameter]:
    return [parameter for parameter in model.parameters() if parameter.requires_grad]
