"""Pipelines of diffusers: text to picture, one picture at a time."""

from __future__ import annotations

import io
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.subjects.drawing import Order
from ggez_hub.evaluation.subjects.live import put_on
from ggez_hub.evaluation.subjects.loading import Adapted
from ggez_hub.extras import require
from ggez_hub.families import Family
from ggez_hub.families.diffusion import denoiser_dtype
from ggez_hub.families.loading import BROKEN, NotLoaded
from ggez_hub.merging.merge import require_engine

if TYPE_CHECKING:
    import torch


class Pipeline:
    """A text-to-image pipeline.

    On a GPU in the dtype of its denoiser; without one in float32. `state` are the tensors in memory
    by the names under which they are stored.
    """

    def __init__(self, folder: Path, family: Family, adapted: Adapted | None = None) -> None:
        """Open local files only: no code of the repository, no pickle.

        Raises NotLoaded, and what opening the adapter raises.
        """
        require_engine()
        require("eval", "diffusers", "transformers", "PIL")
        import diffusers
        import torch
        import transformers

        # They would tell of each prompt that is cut, and draw bars into a file.
        for library in (diffusers, transformers):
            library.utils.logging.set_verbosity_error()
            if not sys.stderr.isatty():
                library.utils.logging.disable_progress_bar()
        layout = family.layout(folder)
        gpu = torch.cuda.is_available()
        dtype = getattr(torch, denoiser_dtype(folder, layout) if gpu else "float32")
        try:
            self._pipeline: Any = diffusers.DiffusionPipeline.from_pretrained(
                folder, local_files_only=True, use_safetensors=True
            )
        except BROKEN as error:
            raise NotLoaded(f"diffusers cannot load {folder}: {error}") from error
        self._pipeline.set_progress_bar_config(disable=True)
        # Left to themselves, components come in dtypes that do not go together.
        self._pipeline.to("cuda" if gpu else "cpu", dtype)
        self.state: Mapping[str, torch.Tensor] = {
            f"{component}/{name}": tensor
            for component, module in self._pipeline.components.items()
            if isinstance(module, torch.nn.Module)
            for name, tensor in module.state_dict().items()
        }
        if adapted is not None:
            put_on(folder, family, adapted, self.state)

    def draw(self, orders: Sequence[Order]) -> list[bytes]:
        """The pictures as PNG files, each by itself: none depends on those beside it.

        Raises UsageProblem for a size or a setting that the pipeline does not know.
        """
        return [file for order in orders for file in self._drawn(order)]

    def draw_together(self, orders: Sequence[Order]) -> list[bytes]:
        """The pictures of orders with the same settings, drawn at once; raises as `draw`."""
        return self._drawn(*orders)

    def _drawn(self, *orders: Order) -> list[bytes]:
        import torch

        wanted = orders[0].drawing
        options = {
            "num_inference_steps": wanted.steps,
            "guidance_scale": wanted.guidance,
            "width": wanted.width,
            "height": wanted.height,
        }
        # On the CPU the noise is the same whatever device draws.
        noise = [torch.Generator("cpu").manual_seed(order.seed) for order in orders]
        try:
            with torch.inference_mode():
                pictures = self._pipeline(
                    prompt=[order.prompt for order in orders],
                    generator=noise,
                    **{name: value for name, value in options.items() if value is not None},
                ).images
        except (ValueError, TypeError) as error:
            raise UsageProblem(
                f"{type(self._pipeline).__name__} cannot draw this: {error}",
                "Change `drawing` in a task of your own.",
            ) from error
        return [_as_file(picture) for picture in pictures]


def _as_file(picture: Any) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
