"""How training pictures are varied. None is ever mirrored: half of the arrows would change names."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

from ggez_hub.world.concepts import concepts
from ggez_hub.world.raster import draw


@dataclass(frozen=True)
class Augmentation:
    """How training pictures are varied; part of a cache's key."""

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

    def pictures(self, style: str) -> Iterator[Image.Image]:
        """Every concept in one style: plain, then its augmented copies."""
        vary = self.transform()
        torch.manual_seed(self.seed)
        for concept in concepts():
            picture = draw(concept, style)
            yield picture
            for _ in range(self.copies):
                yield vary(picture)
