"""Which pipelines can be trained, and what a UNet of each is told beside the noisy latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ggez_hub.errors import GgezError
from ggez_hub.families.diffusion import MODEL_INDEX, read_json
from ggez_hub.families.loading import BROKEN, NotLoaded

# What a scheduler's configuration may say that a UNet predicts.
PREDICTIONS = ("epsilon", "v_prediction")


class NotTrainable(GgezError):
    """A pipeline is of a kind that training does not know, or contradicts itself."""


Conditions = dict[str, Tensor]
"""Keyword -> (n, ...): what the UNet is called with, `encoder_hidden_states` among them."""


def _stable_diffusion(pipeline: Any, captions: Sequence[str]) -> Conditions:
    hidden, _ = pipeline.encode_prompt(
        list(captions), pipeline.text_encoder.device, 1, do_classifier_free_guidance=False
    )
    return {"encoder_hidden_states": hidden}


def _stable_diffusion_xl(pipeline: Any, captions: Sequence[str]) -> Conditions:
    hidden, _, pooled, _ = pipeline.encode_prompt(
        list(captions),
        device=pipeline.text_encoder.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    return {"encoder_hidden_states": hidden, "text_embeds": pooled}


ENCODERS: Mapping[str, Callable[[Any, Sequence[str]], Conditions]] = {
    "StableDiffusionPipeline": _stable_diffusion,
    "StableDiffusionXLPipeline": _stable_diffusion_xl,
}


def check_pipeline(folder: Path) -> str:
    """The class of the pipeline in `folder`; raises NotTrainable if it is not one of ENCODERS."""
    name = str(read_json(folder / MODEL_INDEX).get("_class_name"))
    if name not in ENCODERS:
        raise NotTrainable(
            f"{folder} is a {name}: only pipelines with a UNet and a noise schedule are trained "
            f"({', '.join(ENCODERS)})",
            "Transformers with flow matching (SD3, Flux) are trained by diffusers' own scripts; "
            "`ggez-hub merge` takes what they write.",
        )
    return name


def open_pipeline(folder: Path, dtype: torch.dtype, variant: str | None = None) -> Any:
    """The pipeline from local files: the autoencoder in float32, the rest in `dtype`.

    SDXL's autoencoder overflows in half precision. Raises NotTrainable for a pipeline of another
    kind, NotLoaded for one that diffusers cannot load.
    """
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

    check_pipeline(folder)
    # Both would write to stderr, terminal or not.
    logging.disable_progress_bar()
    transformers_logging.disable_progress_bar()
    try:
        return DiffusionPipeline.from_pretrained(
            folder,
            dtype={"vae": torch.float32, "default": dtype},
            variant=variant,
            local_files_only=True,
            use_safetensors=True,
            safety_checker=None,
            feature_extractor=None,
        )
    except BROKEN as error:
        raise NotLoaded(f"diffusers cannot load {folder}: {error}") from error


def noise_schedule(pipeline: Any) -> Any:
    """The forward process of the pipeline's scheduler, as a DDPMScheduler; raises NotTrainable."""
    from diffusers import DDPMScheduler

    config = pipeline.scheduler.config
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in PREDICTIONS:
        raise NotTrainable(
            f"the pipeline's UNet predicts {prediction!r}; training knows {', '.join(PREDICTIONS)}"
        )
    if prediction == "epsilon" and config.get("rescale_betas_zero_snr"):
        raise NotTrainable(
            "the pipeline's scheduler ends in pure noise (rescale_betas_zero_snr) and its UNet "
            "predicts the noise, which says nothing of the picture there",
            "Set prediction_type to v_prediction (arXiv 2305.08891).",
        )
    return DDPMScheduler.from_config(config)
