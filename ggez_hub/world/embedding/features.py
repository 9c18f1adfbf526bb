"""What the frozen tower sees: 1,280 numbers for each picture, computed once and cached.

Every training picture is seen plain and under a few augmentations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version

import torch
from PIL import Image
from torch import Tensor

from ggez_hub.world.augmentation import Augmentation
from ggez_hub.world.concepts import STYLES, TRAINING_STYLES, concepts
from ggez_hub.world.embedding.model import PREPROCESS_CONFIG, new_model, preprocess
from ggez_hub.world.feature_cache import cached
from ggez_hub.world.tower import TOWER

_BATCH = 64

AUGMENTATION = Augmentation()


def training_features(augmentation: Augmentation) -> Tensor:
    """(concepts, styles x (1 + copies), 1280) for the training styles, cached."""
    return torch.cat([_style_features(style, augmentation) for style in TRAINING_STYLES], dim=1)


def _style_features(style: str, augmentation: Augmentation) -> Tensor:
    key = {
        "style": STYLES[style].record(),
        "tower": TOWER,
        "preprocess": PREPROCESS_CONFIG,
        "augmentation": asdict(augmentation),
        "versions": {library: version(library) for library in ("resvg_py", "torch", "torchvision")},
    }
    found = cached(style, key, lambda: _extract(augmentation.pictures(style)).numpy())
    return torch.from_numpy(found).view(len(concepts()), 1 + augmentation.copies, -1)


@torch.inference_mode()
def _extract(pictures: Iterable[Image.Image]) -> Tensor:
    trunk = new_model(seed=0).visual.trunk
    prepare = preprocess()
    found: list[Tensor] = []
    batch: list[Tensor] = []
    for picture in pictures:
        batch.append(prepare(picture))
        if len(batch) == _BATCH:
            found.append(trunk(torch.stack(batch)))
            batch.clear()
    if batch:
        found.append(trunk(torch.stack(batch)))
    return torch.cat(found)
