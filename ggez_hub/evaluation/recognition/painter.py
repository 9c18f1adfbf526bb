"""A pipeline of diffusers that draws, on the CPU and in float32, whatever it is stored in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.extras import require
from ggez_hub.evaluation.recognition.task import Drawing

if TYPE_CHECKING:
    from PIL import Image

BATCH = 32


class Painter:
    """The pipeline in a folder; local files only."""

    def __init__(self, folder: Path) -> None:
        """Load it; raises UsageProblem for a folder that diffusers cannot load."""
        require("diffusers")
        import torch
        from diffusers import DiffusionPipeline
        from diffusers.utils import logging
        from transformers.utils import logging as transformers_logging

        # Both would write to stderr, terminal or not.
        logging.disable_progress_bar()
        logging.set_verbosity_error()
        transformers_logging.disable_progress_bar()
        try:
            self._pipeline = DiffusionPipeline.from_pretrained(
                folder, dtype=torch.float32, local_files_only=True
            )
        except (OSError, ValueError, RuntimeError) as error:
            raise UsageProblem(f"diffusers cannot load {folder}: {error}") from error
        self._pipeline.set_progress_bar_config(disable=True)

    @property
    def pixels(self) -> int:
        """The side of what it draws."""
        return int(self._pipeline.unet.config.sample_size * self._pipeline.vae_scale_factor)

    def draw(self, asked: Sequence[tuple[str, int]], how: Drawing) -> Iterator[Image.Image]:
        """A picture for each prompt and seed; what else is in the batch decides nothing."""
        import torch

        for start in range(0, len(asked), BATCH):
            part = asked[start : start + BATCH]
            yield from self._pipeline(
                [prompt for prompt, _ in part],
                num_inference_steps=how.steps,
                guidance_scale=how.guidance,
                generator=[torch.Generator().manual_seed(seed) for _, seed in part],
            ).images
