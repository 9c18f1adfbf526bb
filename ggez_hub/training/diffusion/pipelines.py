"""Which pipelines can be trained: their text encoders, and what their denoisers learn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from ggez_hub.errors import GgezError
from ggez_hub.families.diffusion import MODEL_INDEX
from ggez_hub.families.pretrained import BROKEN, NotLoaded
from ggez_hub.families.weight_files import read_json
from ggez_hub.recipe_file import BadRecipe
from ggez_hub.training.diffusion.backbones import BACKBONES, HIDDEN, POOLED, Conditions
from ggez_hub.training.diffusion.objectives import (
    VELOCITY,
    FlowMatching,
    NoisePrediction,
    Objective,
)
from ggez_hub.training.diffusion.recipe import DiffusionRecipe, Flow

# Components that may be there, and that training does not use.
UNUSED = ("safety_checker", "feature_extractor", "image_encoder")


@dataclass(frozen=True)
class PipelineKind:
    """A class of pipelines.

    denoiser    the class of what is trained, one of BACKBONES
    conditions  the denoiser's names for what `encode_prompt` returns; None for what it does not take
    options     of `encode_prompt`
    flows       whether the denoiser learns by flow matching
    sized       whether it also takes the size of a picture before it was cut
    """

    denoiser: str
    conditions: tuple[str | None, ...]
    options: Mapping[str, Any] = field(default_factory=dict)
    flows: bool = False
    sized: bool = False


SINGLE = {"num_images_per_prompt": 1, "do_classifier_free_guidance": False}
KINDS: Mapping[str, PipelineKind] = {
    "StableDiffusionPipeline": PipelineKind("UNet2DConditionModel", (HIDDEN, None), SINGLE),
    "StableDiffusionXLPipeline": PipelineKind(
        "UNet2DConditionModel", (HIDDEN, None, "text_embeds", None), SINGLE, sized=True
    ),
    # Two CLIPs and T5; an encoder that the repository lacks gives zeros, as when the pipeline draws.
    "StableDiffusion3Pipeline": PipelineKind(
        "SD3Transformer2DModel",
        (HIDDEN, None, POOLED, None),
        SINGLE | {"prompt_2": None, "prompt_3": None},
        flows=True,
    ),
    "FluxPipeline": PipelineKind("FluxTransformer2DModel", (HIDDEN, POOLED, None), flows=True),
}


def kind_of(pipeline: Any) -> PipelineKind:
    """The kind of a pipeline, by its class."""
    return KINDS[type(pipeline).__name__]


def check_pipeline(recipe: DiffusionRecipe, folder: Path) -> None:
    """Raise GgezError for a pipeline that is not one of KINDS, BadRecipe for keys of another."""
    name = str(read_json(folder / MODEL_INDEX).get("_class_name"))
    if name not in KINDS:
        raise GgezError(
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
        raise BadRecipe("flow.guidance_scale: this transformer takes no guidance", "Leave it out.")
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
    import diffusers
    import transformers

    # They would warn of each caption that is cut, and draw bars, terminal or not.
    for library in (diffusers, transformers):
        library.utils.logging.set_verbosity_error()
        library.utils.logging.disable_progress_bar()
    try:
        return diffusers.DiffusionPipeline.from_pretrained(
            folder,
            dtype={"vae": torch.float32, "default": dtype},
            variant=variant,
            local_files_only=True,
            use_safetensors=True,
            **{name: None for name in UNUSED if name in read_json(folder / MODEL_INDEX)},
        )
    except BROKEN as error:
        raise NotLoaded(f"diffusers cannot load {folder}: {error}") from error


def encode_captions(pipeline: Any, captions: Sequence[str], recipe: DiffusionRecipe) -> Conditions:
    """The conditions of each caption, on the pipeline's device."""
    kind = kind_of(pipeline)
    options: dict[str, Any] = {"prompt": list(captions), "device": pipeline.vae.device}
    if recipe.flow and recipe.flow.max_sequence_length is not None:
        options["max_sequence_length"] = recipe.flow.max_sequence_length
    found = pipeline.encode_prompt(**options, **kind.options)
    return {name: t for name, t in zip(kind.conditions, found, strict=True) if name is not None}


def objective_of(pipeline: Any, recipe: DiffusionRecipe) -> Objective:
    """What the denoiser learns, by the pipeline's scheduler; raises GgezError.

    The forward process is that of the scheduler, whatever its sampler is.
    """
    from diffusers import DDPMScheduler, FlowMatchEulerDiscreteScheduler

    config, name = pipeline.scheduler.config, type(pipeline.scheduler).__name__
    if kind_of(pipeline).flows:
        if not name.startswith("FlowMatch"):
            raise GgezError(f"the pipeline's scheduler is a {name}, which is not of flow matching")
        schedule = FlowMatchEulerDiscreteScheduler.from_config(config)
        return FlowMatching(schedule, recipe.flow or Flow())
    prediction = config.get("prediction_type", "epsilon")
    if prediction not in ("epsilon", VELOCITY):
        raise GgezError(
            f"the pipeline's UNet predicts {prediction!r}; training knows epsilon and {VELOCITY}"
        )
    if prediction == "epsilon" and config.get("rescale_betas_zero_snr"):
        raise GgezError(
            "the pipeline's scheduler ends in pure noise (rescale_betas_zero_snr) and its UNet "
            "predicts the noise, from which nothing of the picture follows there",
            "Set prediction_type to v_prediction (arXiv 2305.08891).",
        )
    gamma = None if recipe.min_snr == "none" else recipe.min_snr
    return NoisePrediction(DDPMScheduler.from_config(config), gamma)
