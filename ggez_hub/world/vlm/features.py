"""What the frozen tower gives the projector: (16, 1280) numbers for each picture, cached as fp16.

Every training picture is seen plain and under a few augmentations; the held-out ones only as the
published data set stores them.
"""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from ggez_hub.world.augmentation import Augmentation
from ggez_hub.world.concepts import STYLES, TRAINING_STYLES, concepts
from ggez_hub.world.feature_cache import cached
from ggez_hub.world.tower import TOWER
from ggez_hub.world.vlm.model import FEATURES, PLACES, new_model, new_processor

AUGMENTATION = Augmentation(copies=3)
# Small, so that a convolution's activations stay in a processor's cache.
_BATCH = 16


def training_features() -> Tensor:
    """(concepts, styles x (1 + copies), 16, 1280) fp16 for the training styles."""
    return torch.cat([_style_features(style) for style in TRAINING_STYLES], dim=1)


def held_out_pictures(parquet: Path) -> list[Image.Image]:
    """The pictures of one split of the published data set."""
    import pyarrow.parquet as pq

    stored = pq.read_table(parquet, columns=["image"]).column("image").to_pylist()
    return [Image.open(io.BytesIO(image["bytes"])) for image in stored]


@torch.inference_mode()
def see(model: Any, processor: Any, pictures: Iterable[Image.Image]) -> Tensor:
    """Pictures -> (n, 16, 1280): what the tower of `model` gives the projector."""
    tower = model.model.vision_tower.to(memory_format=torch.channels_last)
    found, waiting = [], iter(pictures)
    while batch := list(islice(waiting, _BATCH)):
        pixels = processor.image_processor(batch, return_tensors="pt")["pixel_values"]
        found.append(tower(pixels).last_hidden_state.flatten(2).permute(0, 2, 1))
    return torch.cat(found)


def _style_features(style: str) -> Tensor:
    processor = new_processor()
    libraries = ("resvg_py", "timm", "torch", "torchvision", "transformers")
    key = {
        "style": STYLES[style].record(),
        "tower": TOWER,
        "pictures": processor.image_processor.to_dict(),
        "augmentation": asdict(AUGMENTATION),
        "versions": {library: version(library) for library in libraries},
    }
    found = cached(
        f"vlm-{style}",
        key,
        lambda: (
            see(new_model(0, processor), processor, AUGMENTATION.pictures(style)).half().numpy()
        ),
    )
    return torch.from_numpy(found).view(len(concepts()), 1 + AUGMENTATION.copies, PLACES, FEATURES)
