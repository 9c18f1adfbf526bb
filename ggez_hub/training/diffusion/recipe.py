"""The keys of a training run of a diffusion model, beside those that all families share."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from ggez_hub.training.recipe import Positive, Share, TrainRecipe


class DiffusionRecipe(TrainRecipe):
    """Fine-tuning of a pipeline's UNet; the autoencoder and the text encoders stay as they are.

    resolution       pixels of a side: pictures are resized and cropped to a square in the middle
    caption_dropout  the share of examples that are seen without their caption, so that guidance
                     has something to lead away from
    min_snr          gamma of the Min-SNR weights (arXiv 2303.09556), or none: all noise levels alike
    ema              decay of a moving average of the weights, which is what is saved then
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

    family: Literal["diffusion"]
    resolution: Annotated[int, Field(ge=8, le=2048, multiple_of=8)] = 1024
    caption_dropout: Share = 0.1
    min_snr: Positive | Literal["none"] = "none"
    ema: Annotated[float, Field(gt=0, lt=1)] | Literal["none"] = "none"
