"""Latents and captions, encoded once before the first step and kept on disk.

Neither the autoencoder nor the text encoders learn, so an epoch need not run them again. Latents
are kept as mean and standard deviation of the posterior and drawn anew in each step.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from ggez_hub.training.diffusion.pipelines import ENCODERS, Conditions

if TYPE_CHECKING:
    import datasets
    from PIL import Image

ENCODED_AT_ONCE = 8
LATENTS = "latents"


def encoded(
    pipeline: Any, rows: datasets.Dataset, place: Path, size: int, device: torch.device
) -> datasets.Dataset:
    """The table of `latents` (mean and deviation) and conditions, as safetensors in each row."""
    import datasets

    place.mkdir(parents=True, exist_ok=True)
    pipeline.to(device)
    table = rows.map(
        lambda batch: {"tensors": _encode(pipeline, batch, size)},
        batched=True,
        batch_size=ENCODED_AT_ONCE,
        remove_columns=rows.column_names,
        features=datasets.Features({"tensors": datasets.Value("binary")}),
        cache_file_name=str(place / "latents.arrow"),
        new_fingerprint="latents",
    )
    # The memory is the UNet's from here on.
    pipeline.to("cpu")
    return table


def decoded(rows: Sequence[Mapping[str, Any]]) -> dict[str, Tensor]:
    """Rows of that table as one batch."""
    from safetensors.torch import load

    found = [load(row["tensors"]) for row in rows]
    return {name: torch.stack([tensors[name] for tensors in found]) for name in found[0]}


def encode_captions(pipeline: Any, captions: Sequence[str]) -> Conditions:
    """What the UNet is told for each caption, on the pipeline's device."""
    with torch.no_grad():
        return ENCODERS[type(pipeline).__name__](pipeline, captions)


def square(picture: Image.Image, size: int) -> tuple[Image.Image, tuple[int, int]]:
    """The middle of the picture as `size` x `size` pixels, and the corner (top, left) of the cut."""
    from PIL import Image, ImageOps

    upright = ImageOps.exif_transpose(picture)
    scale = size / min(upright.size)
    width, height = (max(size, round(side * scale)) for side in upright.size)
    # Lanczos filters what is made smaller; a picture that fits is taken as it is.
    resized = upright.resize((width, height), Image.Resampling.LANCZOS)
    left, top = (width - size) // 2, (height - size) // 2
    return resized.crop((left, top, left + size, top + size)), (top, left)


def _encode(pipeline: Any, batch: Mapping[str, list[Any]], size: int) -> list[bytes]:
    from PIL import Image
    from safetensors.torch import save

    pixels, time_ids = [], []
    for stored in batch["image"]:
        with Image.open(io.BytesIO(stored["bytes"])) as opened:
            # Transparent is white, as on a page.
            whole = opened.convert("RGBA")
            page = Image.new("RGBA", whole.size, "white")
            page.alpha_composite(whole)
            cut, corner = square(page.convert("RGB"), size)
            time_ids.append([whole.height, whole.width, *corner, size, size])
        pixels.append(torch.from_numpy(np.asarray(cut).copy()).permute(2, 0, 1))
    tensors: dict[str, Tensor] = dict(encode_captions(pipeline, batch["text"]))
    if "text_embeds" in tensors:
        tensors["time_ids"] = torch.tensor(time_ids, dtype=torch.float32)
    with torch.no_grad():
        vae = pipeline.vae
        posterior = vae.encode(
            torch.stack(pixels).to(vae.device, vae.dtype) / 127.5 - 1
        ).latent_dist
        tensors[LATENTS] = torch.stack([posterior.mean, posterior.std], dim=1)
    return [
        save({name: tensor[n].contiguous().cpu() for name, tensor in tensors.items()})
        for n in range(len(pixels))
    ]
