"""Pictures as models get them: one way for training, for evaluation and for what is compared with.

A camera may store a picture rotated and record its orientation in EXIF. It is rotated before
anything sees it, as `datasets` decodes pictures and `load_image` of transformers and diffusers
reads them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

# EXIF's tag for the orientation, and its value for a picture that is upright.
ORIENTATION, UPRIGHT = 0x0112, 1


def upright(content: bytes) -> Image:
    """The picture of a file, decoded and upright, with the channels that are stored.

    Raises what Pillow raises for files that are not pictures.
    """
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as stored:
        return ImageOps.exif_transpose(stored)


def to_rgb(content: bytes) -> Image:
    """The same in red, green and blue, as models that see pictures get it: transparency is lost."""
    return upright(content).convert("RGB")


def on_white(content: bytes) -> Image:
    """The same on a white page where it is transparent, as a model that draws learns it."""
    from PIL import Image

    drawn = upright(content).convert("RGBA")
    page = Image.new("RGBA", drawn.size, "white")
    page.alpha_composite(drawn)
    return page.convert("RGB")


def needs_rotation(content: bytes) -> bool:
    """Whether the EXIF orientation of a file is not upright."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as stored:
        return bool(stored.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT)


def encode_png(picture: Image) -> bytes:
    """The picture as a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
