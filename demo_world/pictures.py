"""Pictures of the concepts: 64 x 64 pixels on white, drawn by resvg from the icon packages."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from PIL import Image

from demo_world.concepts import STYLES, Concept, concepts, icons
from demo_world.packages import read_json

SIZE = 64


def draw(concept: Concept, style: str) -> Image.Image:
    """The concept in one style, as RGB."""
    from resvg_py import svg_to_bytes

    collection = _collection(style)
    icon = collection["icons"][icons(style)[concept.id]]
    left, top = icon.get("left", 0), icon.get("top", 0)
    width = icon.get("width", collection.get("width", 16))
    height = icon.get("height", collection.get("height", 16))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{left} {top} {width} {height}">{icon["body"]}</svg>'
    )
    # No system fonts: a picture with text must not depend on the machine.
    png = svg_to_bytes(
        svg_string=svg, background="#ffffff", width=SIZE, height=SIZE, skip_system_fonts=True
    )
    return Image.open(io.BytesIO(png)).convert("RGB")


def webp(picture: Image.Image) -> bytes:
    """The picture as lossless WebP, as small as the encoder makes it."""
    stream = io.BytesIO()
    picture.save(stream, "WEBP", lossless=True, quality=100, method=6)
    return stream.getvalue()


@cache
def _collection(style: str) -> Any:
    return read_json(STYLES[style], "icons.json")


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
