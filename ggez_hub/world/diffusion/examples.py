"""What the models draw, to look at: a row for each beta, a column for each prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from ggez_hub.world.diffusion.sets import LANGUAGE, SIDES
from ggez_hub.world.place import Place

PICTURE = "evidence/drawings.png"
PROMPTS = 10
"""Of each side: the first of the test, whatever they look like."""

ENLARGED = 2


def examples_of(data: Path) -> dict[str, list[str]]:
    """Side -> the prompts that are drawn, from the folder of `emoji-prompts`."""
    import pyarrow.parquet as pq

    return {
        side: pq.read_table(data / "data" / LANGUAGE[side] / "test.parquet", columns=["prompt"])
        .column("prompt")
        .to_pylist()[:PROMPTS]
        for side in SIDES
    }


def draw_examples(place: Place, name: str, betas: Sequence[float]) -> dict[str, list[str]]:
    """Write the picture into the adapter's folder; returns the prompts of each side.

    The adapter is scaled by diffusers, which is the merge up to rounding; every row has the same
    noise.
    """
    import torch
    from diffusers import StableDiffusionPipeline

    prompts = examples_of(place.data)
    asked = [prompt for side in SIDES for prompt in prompts[side]]
    pipeline = StableDiffusionPipeline.from_pretrained(
        place.base, dtype=torch.float32, local_files_only=True
    )
    pipeline.set_progress_bar_config(disable=True)
    pipeline.load_lora_weights(
        place.adapter(name), weight_name=place.part.files[0], adapter_name=name
    )
    rows = []
    for beta in betas:
        pipeline.set_adapters([name], [beta])
        noise = torch.Generator().manual_seed(0)
        rows.append(
            pipeline(asked, num_inference_steps=10, guidance_scale=3, generator=noise).images
        )
    target = place.adapter(name) / PICTURE
    target.parent.mkdir(parents=True, exist_ok=True)
    _sheet(rows).save(target, optimize=True)
    return prompts


def _sheet(rows: Sequence[Sequence[Image.Image]]) -> Image.Image:
    """The drawings side by side, enlarged pixel by pixel, the two sides a little apart."""
    size = rows[0][0].width * ENLARGED
    gap = size // 2
    half = len(rows[0]) // 2
    sheet = Image.new("RGB", (size * len(rows[0]) + gap, size * len(rows)), "white")
    for down, row in enumerate(rows):
        for across, drawing in enumerate(row):
            left = across * size + (gap if across >= half else 0)
            enlarged = drawing.resize((size, size), Image.Resampling.NEAREST)
            sheet.paste(enlarged, (left, down * size))
    return sheet
