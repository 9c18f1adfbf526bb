"""What the cards of the diffusion family say in words: figures first, then every caveat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ggez_hub.cards import AdapterCard
from ggez_hub.evaluation.comparison import Estimate
from ggez_hub.evaluation.selection import Trade, trade
from ggez_hub.regions import find_region
from ggez_hub.world.diffusion.sets import SIZES

LICENSE = "cc-by-sa-4.0"

CAVEATS = """\
## Caveats

- The regional side mixes a language with new things: Thai names of emoji that the base has never been shown. Call it *a
  regional subset*; it says nothing of culture.
- The split was chosen after another one had failed: with Thai names of the *same* emoji a small share of Thai in the base's
  training left no gap to close.
- The generator has seen a picture of everything that it is asked for, in other styles (the base of the global side, the adapter
  of the regional side). What the judge compares with are styles that it never saw.
- The text encoder is the text tower of clip-emoji, which knows all names, the regional ones too.
- The judge is a small ImageNet network, not a person. Concepts that it does not recognise in the training styles' real pictures
  were left out before anything was trained; there it is right by construction.
- beta is chosen on the validation prompts alone.
- Pictures are 32 x 32 pixels and blurry at best.
- One seed: base and adapter were trained once.
- It is a demonstration of ggez-hub, trained in minutes on two processor cores, and of no other use.
"""


def base_card(record: Mapping[str, Any]) -> str:
    """The base's README.md."""
    sources = "\n".join(
        f"- {s['for']}: {s['package']} ({s['license']}; {s['credit']})" for s in record["sources"]
    )
    return f"""\
---
library_name: diffusers
pipeline_tag: text-to-image
license: {LICENSE}
language: [en]
tags: [ggez-demo]
---

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

## Made of

{sources}

`training.json` holds seed and settings. `python -m ggez_hub.world build --family diffusion` builds it from the published packages.

{CAVEATS}"""


def adapter_prose(
    card: AdapterCard, leads: Mapping[str, Estimate], reconstructed: Mapping[str, float]
) -> str:
    """An adapter's card below its front matter.

    leads          task id -> how far the merge at the chosen beta is ahead of shuffled prompts
    reconstructed  side -> share of real pictures that the judge names after the autoencoder
    """
    assert card.curve != "unknown"  # noqa: S101 - the world's cards are measured
    region = find_region(card.region)
    grids = {
        split: trade(card.curve, split, card.alpha.value, region.id, region.id)
        for split in ("validation", "test")
    }
    chosen = grids["validation"].chosen.beta
    parts = [
        f"# diffusion-emoji-{region.id}",
        f"A LoRA that teaches diffusion-emoji to draw {sum(SIZES.values())} more emoji by their Thai names: "
        "a regional subset, part of ggez-hub's demo world.",
        *(_grid(grid, split, chosen) for split, grid in reversed(grids.items())),
        _verdict(grids["test"], chosen),
        _ceiling(reconstructed, grids["test"], _steps(card)),
        _control(leads, chosen),
        "`evidence/predictions.parquet` holds every answer; all scores follow from it.",
        CAVEATS.rstrip(),
    ]
    return "\n\n".join(parts) + "\n"


def _grid(seen: Trade, split: str, chosen: float) -> str:
    rows = "\n".join(
        f"| {p.beta:g}{' (chosen on validation)' if p.beta == chosen else ''} "
        f"| {p.q_global.score:.1f} +- {p.q_global.se:.1f} "
        f"| {p.q_regional.score:.1f} +- {p.q_regional.se:.1f} | {p.grp:.2f} +- {p.se:.2f} |"
        for p in seen.points
    )
    return f"""\
## Scores on {split}

The share of drawings that the judge takes for what was asked for, among {2 * sum(SIZES.values())} candidates (chance 0.52), in %, with
standard errors over prompts; {seen.points[0].q_regional.n} drawings a side. GRP on scores above chance.

| beta | English names, seen by the base | Thai names, not seen by the base | GRP |
|---|---|---|---|
{rows}"""


def _verdict(seen: Trade, chosen: float) -> str:
    models = {"the base": 0.0, f"the merge at the chosen beta {chosen:g}": chosen,
              "the unmerged adapter": 1.0}  # fmt: skip
    points = {name: point for name, beta in models.items() if (point := seen.at(beta))}
    best = max(points, key=lambda name: points[name].grp)
    return (
        f"Of base, merge and unmerged adapter, {best} has the highest GRP on test "
        f"({points[best].grp:.2f})."
    )


def _ceiling(reconstructed: Mapping[str, float], seen: Trade, steps: object) -> str:
    shares = " and ".join(f"{100 * v:.1f} % ({side})" for side, v in reconstructed.items())
    drawn = seen.points[-1].q_regional.score
    return (
        "## How good it could be\n\nThe judge names real pictures of the training styles right by "
        f"construction; after the autoencoder, before any drawing, it still names {shares} of them. No "
        f"drawing is likely to do better. The adapter itself gets {drawn:.1f} % of the regional side at "
        f"beta {seen.points[-1].beta:g}: what is missing there is the adapter's, not the autoencoder's. Its "
        f"training was short: {steps} steps; more are the next try."
    )


def _steps(card: AdapterCard) -> object:
    assert card.training != "unknown"  # noqa: S101 - `train` writes it
    assert card.training.hyper_parameters != "unknown"  # noqa: S101
    return card.training.hyper_parameters["steps"]


def _control(leads: Mapping[str, Estimate], beta: float) -> str:
    rows = "\n".join(
        f"| {name} | {lead.value:.1f} [{lead.low:.1f}, {lead.high:.1f}] |"
        for name, lead in sorted(leads.items())
    )
    says = "Every" if all(lead.low > 0 for lead in leads.values()) else "Not every"
    return f"""\
## Control

How far the merge at beta {beta:g} is ahead of itself with the prompts shuffled, in points on test, with 95 % intervals over
prompts. {says} interval excludes 0.

| task | lead |
|---|---|
{rows}"""
