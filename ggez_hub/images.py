"""Pictures as models get them: one way for training, for evaluation and for what is compared with.

A camera may store a picture lying and say in its EXIF block how it is to be turned. It is turned
before anything sees it, as `datasets` decodes pictures and `load_image` of transformers and
diffusers reads them.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

# EXIF's tag for how a picture lies, and its value for one that stands.
ORIENTATION, STANDS = 0x0112, 1


def upright(content: bytes) -> Image:
    """The picture of a file, decoded and standing, with the channels that are stored.

    Raises what Pillow raises for files that are none.
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

    whole = upright(content).convert("RGBA")
    page = Image.new("RGBA", whole.size, "white")
    page.alpha_composite(whole)
    return page.convert("RGB")


def needs_rotation(content: bytes) -> bool:
    """Whether the file says that its picture is to be turned."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as stored:
        return bool(stored.getexif().get(ORIENTATION, STANDS) != STANDS)
