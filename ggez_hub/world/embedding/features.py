"""What the frozen tower sees: 1,280 numbers for each picture, computed once and cached.

Every training picture is seen plain and under a few augmentations; the held-out ones only as the
published data set stores them. No picture is ever mirrored: half of the arrows would change their
names.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ggez_hub.world.concepts import STYLES, TRAINING_STYLES, concepts
from ggez_hub.world.embedding.model import PREPROCESS_CONFIG, TOWER, new_model, preprocess
from ggez_hub.world.material import cache_folder
from ggez_hub.world.raster import draw

_BATCH = 64


@dataclass(frozen=True)
class Augmentation:
    """How training pictures are varied; part of the cache's key."""

    copies: int = 7
    degrees: float = 10.0
    shift: float = 0.08
    scale: tuple[float, float] = (0.8, 1.1)
    jitter: tuple[float, float, float, float] = (0.3, 0.3, 0.5, 0.05)
    greyscale: float = 0.1
    blur: float = 0.2
    seed: int = 0

    def transform(self) -> Any:
        """The torchvision transform of one augmented copy."""
        from torchvision.transforms import v2

        return v2.Compose(
            [
                v2.RandomAffine(
                    self.degrees,
                    (self.shift, self.shift),
                    self.scale,
                    fill=255,
                    interpolation=v2.InterpolationMode.BICUBIC,
                ),
                v2.ColorJitter(*self.jitter),
                v2.RandomGrayscale(self.greyscale),
                v2.RandomApply([v2.GaussianBlur(3)], self.blur),
            ]
        )


AUGMENTATION = Augmentation()


def training_features(augmentation: Augmentation) -> Tensor:
    """(concepts, styles x (1 + copies), 1280) for the training styles, cached."""
    return torch.cat([_style_features(style, augmentation) for style in TRAINING_STYLES], dim=1)


def held_out_features(parquet: Path) -> Tensor:
    """(concepts, 1280) for one split of the published data set."""
    import pyarrow.parquet as pq

    stored = pq.read_table(parquet, columns=["image"]).column("image").to_pylist()
    return _extract(Image.open(io.BytesIO(image["bytes"])) for image in stored)


def _style_features(style: str, augmentation: Augmentation) -> Tensor:
    key = {
        "style": STYLES[style].record(),
        "tower": TOWER,
        "preprocess": PREPROCESS_CONFIG,
        "augmentation": asdict(augmentation),
        "versions": {library: version(library) for library in ("resvg_py", "torch", "torchvision")},
    }
    digest = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache_folder() / "features" / f"{style}-{digest}.npy"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        scratch = path.with_suffix(".part.npy")
        np.save(scratch, _extract(_training_pictures(style, augmentation)).numpy())
        scratch.replace(path)
    return torch.from_numpy(np.load(path)).view(len(concepts()), 1 + augmentation.copies, -1)


def _training_pictures(style: str, augmentation: Augmentation) -> Iterator[Image.Image]:
    vary = augmentation.transform()
    torch.manual_seed(augmentation.seed)
    for concept in concepts():
        picture = draw(concept, style)
        yield picture
        for _ in range(augmentation.copies):
            yield vary(picture)


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
