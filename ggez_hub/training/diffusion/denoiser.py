"""A denoiser in training: it is shown latents with noise, and says what its objective asks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ggez_hub.images import on_white
from ggez_hub.training.backend import Loss, TrainingModule
from ggez_hub.training.diffusion.backbones import Conditions, backbone_of
from ggez_hub.training.diffusion.pipelines import PipelineKind, kind_of
from ggez_hub.training.diffusion.recipe import DiffusionRecipe, Flow

if TYPE_CHECKING:
    import datasets
    from PIL import Image


ENCODED_AT_ONCE = 8
LATENTS = "latents"


@dataclass(frozen=True)
class Encoder:
    """The autoencoder and the text encoders of a pipeline, which do not learn."""

    pipeline: Any
    kind: PipelineKind
    recipe: DiffusionRecipe

    def encoded(
        self, rows: datasets.Dataset, place: Path, device: torch.device
    ) -> datasets.Dataset:
        """The table of `latents` (mean and deviation) and conditions, as safetensors in each row."""
        import datasets

        place.mkdir(parents=True, exist_ok=True)
        self.pipeline.to(device)
        table = rows.map(
            lambda batch: {"tensors": self._encode(batch)},
            batched=True,
            batch_size=ENCODED_AT_ONCE,
            remove_columns=rows.column_names,
            features=datasets.Features({"tensors": datasets.Value("binary")}),
            cache_file_name=str(place / "latents.arrow"),
            new_fingerprint="latents",
        )
        # The memory is the denoiser's from here on.
        self.pipeline.to("cpu")
        return table

    def captions(self, captions: Sequence[str]) -> Conditions:
        """What the denoiser is told for each caption, on the pipeline's device."""
        with torch.no_grad(), _untold():
            return self.kind.encode(self.pipeline, captions, self.recipe)

    def scaled(self, latents: Tensor) -> Tensor:
        """Latents as the denoiser sees them: of mean 0 and deviation 1, about."""
        config = self.pipeline.vae.config
        scaled: Tensor = (latents - (config.get("shift_factor") or 0.0)) * config.scaling_factor
        return scaled

    def _encode(self, batch: Mapping[str, list[Any]]) -> list[bytes]:
        from safetensors.torch import save

        size = self.recipe.resolution
        pixels, sizes = [], []
        for stored in batch["image"]:
            whole = on_white(stored["bytes"])
            cut, corner = square(whole, size)
            sizes.append([whole.height, whole.width, *corner, size, size])
            pixels.append(torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1))
        tensors: dict[str, Tensor] = dict(self.captions(batch["text"]))
        if self.kind.sized:
            tensors["time_ids"] = torch.tensor(sizes, dtype=torch.float32)
        with torch.no_grad():
            vae = self.pipeline.vae
            posterior = vae.encode(
                torch.stack(pixels).to(vae.device, vae.dtype) / 127.5 - 1
            ).latent_dist
            tensors[LATENTS] = torch.stack([posterior.mean, posterior.std], dim=1)
        return [
            save({name: tensor[n].contiguous().cpu() for name, tensor in tensors.items()})
            for n in range(len(pixels))
        ]


@contextmanager
def _untold() -> Iterator[None]:
    """Without a warning for every caption that a text encoder cuts: where it does is documented."""
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    loud = [(library, library.get_verbosity()) for library in (logging, transformers_logging)]
    for library, _ in loud:
        library.set_verbosity_error()
    try:
        yield
    finally:
        for library, level in loud:
            library.set_verbosity(level)


def decoded(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows of that table as one batch."""
    from safetensors.torch import load

    found = [load(row["tensors"]) for row in rows]
    return {name: torch.stack([tensors[name] for tensors in found]) for name in found[0]}


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


# What is random in a step, a row for each example.
POSTERIOR, NOISE, LEVELS, DROPPED = "posterior", "noise", "levels", "dropped"


class DiffusionModule(TrainingModule):
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
        self._average: MovingAverage | None = None

    def begin(self, stage: str) -> None:
        if self._recipe.ema != "none":
            self._average = MovingAverage(self.model, self._recipe.ema)

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
