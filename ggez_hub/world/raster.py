"""Pictures of the concepts: 64 x 64 pixels on white, drawn by resvg from the icon packages."""

from __future__ import annotations

import io
from functools import cache
from typing import Any

from PIL import Image

from ggez_hub.world.concepts import STYLES, Concept, icons
from ggez_hub.world.material import read_json

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
