"""Which pipelines can be trained: their text encoders, and what their denoisers learn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from ggez_hub.errors import GgezError
from ggez_hub.families.diffusion import MODEL_INDEX, read_json
from ggez_hub.families.pretrained import BROKEN, NotLoaded
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.diffusion.backbones import BACKBONES, HIDDEN, POOLED, Conditions
from ggez_hub.training.diffusion.objectives import (
    VELOCITY,
    FlowMatching,
    NoisePrediction,
    Objective,
)
from ggez_hub.training.diffusion.recipe import DiffusionRecipe, Flow


class NotTrainable(GgezError):
    """A pipeline is of a kind that training does not know, or contradicts itself."""


@dataclass(frozen=True)
class PipelineKind:
    """A class of pipelines.

    denoiser   the class of what is trained, one of BACKBONES
    encode     captions as what the denoiser is told, on the pipeline's device
    objective  what it learns; raises NotTrainable
    flows      whether that is flow matching
    sized      whether it is also told the size of a picture before it was cut
    """

    denoiser: str
    encode: Callable[[Any, Sequence[str], DiffusionRecipe], Conditions]
    objective: Callable[[Any, DiffusionRecipe], Objective]
    flows: bool = False
    sized: bool = False


def check_pipeline(recipe: DiffusionRecipe, folder: Path) -> None:
    """Raise NotTrainable for a pipeline that is not one of KINDS, BadRecipe for keys of another."""
    name = str(read_json(folder / MODEL_INDEX).get("_class_name"))
    if name not in KINDS:
        raise NotTrainable(
            f"{folder} is a {name}, which training does not know", f"It knows {', '.join(KINDS)}."
        )
    kind = KINDS[name]
    backbone = BACKBONES[kind.denoiser]
    if kind.flows and recipe.min_snr != "none":
        raise BadRecipe(
            f"min_snr: weights levels of a noise schedule; a {name} learns by flow matching",
            "Leave it out; flow.weighting_scheme weights the levels there.",
        )
    if recipe.flow is not None and not kind.flows:
        raise BadRecipe(
            f"flow: is for flow matching; a {name} predicts noise or velocity", "Leave it out."
        )
    config = read_json(folder / backbone.component / "config.json")
    if (
        recipe.flow is not None
        and "guidance_scale" in recipe.flow.model_fields_set
        and not config.get("guidance_embeds")
    ):
        raise BadRecipe(
            "flow.guidance_scale: this transformer is told no guidance", "Leave it out."
        )
    stages = len(read_json(folder / "vae" / "config.json").get("block_out_channels", ())) or 1
    side = backbone.patch * 2 ** (stages - 1)
    if recipe.resolution % side:
        raise BadRecipe(
            f"resolution: is {recipe.resolution}, and a {name} takes multiples of {side} pixels",
            f"Take {max(side, recipe.resolution // side * side)}.",
        )


def open_pipeline(folder: Path, dtype: torch.dtype, variant: str | None = None) -> Any:
    """The pipeline from local files, the autoencoder in float32, the rest in `dtype`.

    SDXL's autoencoder overflows in half precision. Raises NotLoaded for one that diffusers cannot
    load.
    """
    from diffusers import DiffusionPipeline
    from diffusers.utils import logging
    from transformers.utils import logging as transformers_logging

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
            **{name: None for name in UNUSED if name in read_json(folder / MODEL_INDEX)},
        )
    except BROKEN as error:
        raise NotLoaded(f"diffusers cannot load {folder}: {error}") from error


# Components that may be there, and that training has no use for.
UNUSED = ("safety_checker", "feature_extractor", "image_encoder")


def kind_of(pipeline: Any) -> PipelineKind:
    """What is known of the class of a pipeline."""
    return KINDS[type(pipeline).__name__]


def _noise_prediction(pipeline: Any, recipe: DiffusionRecipe) -> Objective:
    """The forward process of the pipeline's scheduler, whatever its sampler is."""
    from diffusers import DDPMScheduler

    config = pipeline.scheduler.config
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", VELOCITY):
        raise NotTrainable(
            f"the pipeline's UNet predicts {prediction!r}; training knows epsilon and {VELOCITY}"
        )
    if prediction == "epsilon" and config.get("rescale_betas_zero_snr"):
        raise NotTrainable(
            "the pipeline's scheduler ends in pure noise (rescale_betas_zero_snr) and its UNet "
            "predicts the noise, which says nothing of the picture there",
            "Set prediction_type to v_prediction (arXiv 2305.08891).",
        )
    gamma = None if recipe.min_snr == "none" else recipe.min_snr
    return NoisePrediction(DDPMScheduler.from_config(config), gamma)


def _flow_matching(pipeline: Any, recipe: DiffusionRecipe) -> Objective:
    from diffusers import FlowMatchEulerDiscreteScheduler

    name = type(pipeline.scheduler).__name__
    if not name.startswith("FlowMatch"):
        raise NotTrainable(f"the pipeline's scheduler is a {name}, which is not of flow matching")
    schedule = FlowMatchEulerDiscreteScheduler.from_config(pipeline.scheduler.config)
    return FlowMatching(schedule, recipe.flow or Flow())


def _encode_sd(pipeline: Any, captions: Sequence[str], recipe: DiffusionRecipe) -> Conditions:
    hidden, _ = pipeline.encode_prompt(
        list(captions), pipeline.vae.device, 1, do_classifier_free_guidance=False
    )
    return {HIDDEN: hidden}


def _encode_sdxl(pipeline: Any, captions: Sequence[str], recipe: DiffusionRecipe) -> Conditions:
    hidden, _, pooled, _ = pipeline.encode_prompt(
        list(captions),
        device=pipeline.vae.device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=False,
    )
    return {HIDDEN: hidden, "text_embeds": pooled}


def _encode_sd3(pipeline: Any, captions: Sequence[str], recipe: DiffusionRecipe) -> Conditions:
    """Two CLIPs and T5; of encoders that a repository is without zeros, as when it draws."""
    hidden, _, pooled, _ = pipeline.encode_prompt(
        list(captions),
        None,
        None,
        device=pipeline.vae.device,
        do_classifier_free_guidance=False,
        **_length(recipe),
    )
    return {HIDDEN: hidden, POOLED: pooled}


def _encode_flux(pipeline: Any, captions: Sequence[str], recipe: DiffusionRecipe) -> Conditions:
    hidden, pooled, _ = pipeline.encode_prompt(
        list(captions), device=pipeline.vae.device, **_length(recipe)
    )
    return {HIDDEN: hidden, POOLED: pooled}


def _length(recipe: DiffusionRecipe) -> dict[str, int]:
    asked = recipe.flow.max_sequence_length if recipe.flow else None
    return {} if asked is None else {"max_sequence_length": asked}


KINDS: Mapping[str, PipelineKind] = {
    "StableDiffusionPipeline": PipelineKind("UNet2DConditionModel", _encode_sd, _noise_prediction),
    "StableDiffusionXLPipeline": PipelineKind(
        "UNet2DConditionModel", _encode_sdxl, _noise_prediction, sized=True
    ),
    "StableDiffusion3Pipeline": PipelineKind(
        "SD3Transformer2DModel", _encode_sd3, _flow_matching, flows=True
    ),
    "FluxPipeline": PipelineKind(
        "FluxTransformer2DModel", _encode_flux, _flow_matching, flows=True
    ),
}
