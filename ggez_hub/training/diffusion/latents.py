"""Latents and captions, encoded once before the first step and kept on disk.

Neither the autoencoder nor the text encoders learn, so an epoch need not run them again. Latents
are kept as mean and standard deviation of the posterior and drawn anew in each step.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ggez_hub.pictures import on_white
from ggez_hub.training.diffusion.backbones import Conditions
from ggez_hub.training.diffusion.pipelines import Kind
from ggez_hub.training.diffusion.recipe import DiffusionRecipe

if TYPE_CHECKING:
    import datasets
    from PIL import Image

ENCODED_AT_ONCE = 8
LATENTS = "latents"


@dataclass(frozen=True)
class Encoder:
    """The autoencoder and the text encoders of a pipeline, which do not learn."""

    pipeline: Any
    kind: Kind
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
