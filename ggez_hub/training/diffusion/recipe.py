"""The keys of a training run of a diffusion model, beside those that all families share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from ggez_hub.frozen_model import FrozenModel
from ggez_hub.training.recipe import Number, Positive, Share, TrainRecipe


class Flow(FrozenModel):
    """Settings of a transformer that learns by flow matching, in the words of diffusers' scripts.

    weighting_scheme     how often levels of noise are drawn (logit_normal, mode), or how their losses
                         are weighted (sigma_sqrt, cosmap), or none: all alike
    guidance_scale       an input of guidance-distilled transformers: 1 means none
    max_sequence_length  tokens of T5 for a caption; by default the pipeline's (SD3 256, Flux 512)
    """

    weighting_scheme: Literal["logit_normal", "mode", "sigma_sqrt", "cosmap", "none"] = (
        "logit_normal"
    )
    logit_mean: Number = 0.0
    logit_std: Positive = 1.0
    mode_scale: Number = 1.29
    guidance_scale: Positive = 1.0
    max_sequence_length: Annotated[int, Field(ge=1, le=512)] | None = None

    @model_validator(mode="after")
    def _used(self) -> Self:
        for key, scheme in (
            ("logit_mean", "logit_normal"),
            ("logit_std", "logit_normal"),
            ("mode_scale", "mode"),
        ):
            if key in self.model_fields_set and self.weighting_scheme != scheme:
                raise ValueError(
                    f"{key} is for weighting_scheme {scheme}, not {self.weighting_scheme}"
                )
        return self


class DiffusionRecipe(TrainRecipe):
    """Fine-tuning of a pipeline's denoiser; the autoencoder and the text encoders do not change.

    resolution       pixels of a side: pictures are resized and cropped to a square in the middle
    caption_dropout  the share of examples without their caption, for classifier-free guidance
    min_snr          gamma of the Min-SNR weights (arXiv 2303.09556), or none: all noise levels alike
    flow             of a transformer that learns by flow matching (SD3, Flux)
    ema              decay of a moving average of the weights, which is saved in their place
    """

    DEFAULTS: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "lora": {
            "optimiser": {"learning_rate": 1e-4, "weight_decay": 0.01},
            "batch_size": 16,
            "epochs": 4.0,
        },
        # arXiv 2604.11490, table of hyper-parameters: SDXL.
        "full": {
            "optimiser": {"learning_rate": 1e-5, "weight_decay": 0.01},
            "batch_size": 32,
            "epochs": 4.0,
        },
    }

    resolution: Annotated[int, Field(ge=8, le=2048, multiple_of=8)] = 1024
    caption_dropout: Share = 0.1
    min_snr: Positive | Literal["none"] = "none"
    flow: Flow | None = None
    ema: Annotated[float, Field(gt=0, lt=1)] | Literal["none"] = "none"
