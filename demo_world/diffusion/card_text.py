"""The prose of the diffusion family's cards."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image

from demo_world.card_text import CardContext, FamilyText, listed, made_of
from demo_world.control import shuffle_drawings
from demo_world.diffusion.subjects import LANGUAGE, SIDES, SIZES
from demo_world.training_records import card_of_training, record_of
from ggez_hub.demo.questions import questions_of
from ggez_hub.demo.world import DIFFUSION, FamilyFolders
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.answers.scores import mean, mean_difference
from ggez_hub.parity.intervals import Interval

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


def draw_examples(place: FamilyFolders, name: str, betas: Sequence[float]) -> dict[str, list[str]]:
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


CAVEATS = (
    """\
The regional side mixes a language with new things: Thai names of emoji that the base has never been shown. Call it *a
  regional subset*; it says nothing of culture.""",
    """\
The split was chosen after another one had failed: with Thai names of the *same* emoji a small share of Thai in the base's
  training left no gap to close.""",
    """\
The generator has seen a picture of everything that it is asked for, in other styles (the base of the global side, the adapter
  of the regional side). What the judge compares with are styles that it never saw.""",
    """\
The text encoder is the text tower of clip-emoji, which knows all names, the regional ones too.""",
    """\
The judge is a small ImageNet network, not a person. Concepts that it does not recognise in the training styles' real pictures
  were left out before anything was trained; there it is right by construction.""",
    "beta is chosen on the validation prompts alone, by the highest GRP; 32 prompts are few.",
    "Pictures are 32 x 32 pixels and blurry at best.",
)

EARLIER = """\
Two earlier adapters, of attention and feed-forward layers alone, had been measured on the test prompts before this one was trained.
Unmerged, 180 steps at a rate of 3e-3 got 10.3 % of the global and 9.1 % of the regional side, 600 steps at 1e-3 13.4 % and 11.6 %.
They had learnt little: the loss of the second ended at 0.60. Convolutions, more steps and a higher rate were decided on by that
loss; this adapter, and a shorter run of it, were seen on validation prompts before its test figures were computed, once."""


def _base(record: Mapping[str, Any]) -> str:
    return f"""\
# diffusion-emoji

A small `StableDiffusionPipeline` that draws emoji by their English names at 32 x 32 pixels. It is the global model of the
diffusion family in ggez-hub's demo world: an autoencoder (8 x 8 latents of 8 channels) that was trained here, the frozen text tower
of clip-emoji, and a UNet that `ggez-hub train` trained on {record["examples"]} pictures of {sum(SIZES.values())} emoji in two styles: velocity prediction, zero
terminal SNR.

```python
from diffusers import DiffusionPipeline

pipeline = DiffusionPipeline.from_pretrained("PATH")
pipeline("strawberry", num_inference_steps=10, guidance_scale=3).images[0]
```

{made_of(record, DIFFUSION.family)}

{listed(CAVEATS)}"""


def _intro(context: CardContext) -> str:
    return (
        f"A LoRA that teaches diffusion-emoji to draw {sum(SIZES.values())} more emoji by their Thai names: "
        "a regional subset, part of ggez-hub's demo world."
    )


def _control(context: CardContext) -> Mapping[Cell, Interval]:
    cells = [
        Cell(beta, task, "test") for task in context.answered.records for beta in context.betas
    ]
    found = {cell: context.answered.outcomes[cell] for cell in cells}
    return {cell: mean_difference([o], [shuffle_drawings(o)]) for cell, o in found.items()}


def _ceiling(context: CardContext) -> Sequence[str]:
    shares = " and ".join(
        f"{100 * share:.1f} % ({side})" for side, share in context.record["reconstructed"].items()
    )
    alone, base = mean(context.answered.sides(1.0).regional_tasks), record_of(context.place.base)
    learnt, full = (record["losses"][-1][1] for record in (context.record, base))
    return (
        f"""\
## How good it could be

The judge names real pictures of the training styles right by construction; after the autoencoder, before any drawing, it
still names {shares} of them. No drawing is likely to do better. After
{context.record["steps"]} steps the unmerged adapter gets {alone.value:.1f} % of the regional side: its loss was {learnt:.2f} at the end, and that of the base, the
whole of whose UNet learnt for {base["steps"]} steps, {full:.2f}.

{EARLIER}""",
    )


def _drawings(context: CardContext) -> str:
    prompts = draw_examples(context.place, context.region.id, context.betas)
    english, thai = (", ".join(prompts[side]) for side in SIDES)
    rows = ", ".join(f"{beta:g}" for beta in context.betas)
    return f"""\
## Drawings

`{PICTURE}` shows what is drawn for the first {PROMPTS} prompts of each side's test, from the same noise; beta in the rows is
{rows}.

Left: {english}. Right: {thai}."""


WORDS = FamilyText(
    questions=questions_of(DIFFUSION),
    card=card_of_training,
    base=_base,
    intro=_intro,
    scores=f"""\
The share of drawings that the judge takes for what was asked for, among {2 * sum(SIZES.values())} candidates (chance 0.52): English
names of emoji that the base has seen, and Thai names of emoji that it has not. Every prompt is drawn with five seeds, and errors
are over prompts.""",
    control=_control,
    controlled="with the prompts shuffled",
    more=lambda context: (_drawings(context), *_ceiling(context)),
    caveats=CAVEATS,
)
