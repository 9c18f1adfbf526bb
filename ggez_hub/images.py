"""Pictures as models get them: one way for training, for evaluation and for what is compared with.

A camera may store a picture rotated and record its orientation in EXIF. It is rotated before
anything sees it, as `datasets` decodes pictures and `load_image` of transformers and diffusers
reads them.

Pictures are a stranger's: four formats with decoders in Pillow itself are read, of an animation the
first picture, and no file that decodes to more than MAX_PIXELS.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    from PIL.Image import Image

# EXIF's tag for the orientation, and its value for a picture that is upright.
ORIENTATION, UPRIGHT = 0x0112, 1
# Others may start a program (EPS), or have decoders that few use.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF")
MAX_PIXELS = 89_478_485  # from which Pillow warns of a bomb: 256 MiB in three channels
TOO_LARGE, DAMAGED = "it is too large", "it is damaged"


class BadPicture(GgezError):
    """A picture cannot be used; `reason` is one of TOO_LARGE and DAMAGED."""

    def __init__(self, reason: str) -> None:
        limit = f"{MAX_PIXELS / 1e6:.0f} million pixels"
        super().__init__(
            f"a picture cannot be used: {reason}",
            f"Pictures are {', '.join(FORMATS)} of at most {limit}.",
        )
        self.reason = reason


def open_picture(content: bytes) -> Image:
    """The picture of a file, which is not decoded yet; raises BadPicture."""
    from PIL import Image

    try:
        with warnings.catch_warnings():
            # Sizes are checked here; other warnings are of damaged metadata.
            warnings.simplefilter("ignore")
            picture = Image.open(io.BytesIO(content), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise BadPicture(TOO_LARGE) from error
    # A broken file may break its format's reader in any way.
    except Exception as error:
        raise BadPicture(DAMAGED) from error
    if picture.width * picture.height > MAX_PIXELS:
        raise BadPicture(TOO_LARGE)
    return picture


def upright(content: bytes, draft: tuple[int, int] | None = None) -> Image:
    """The picture of a file, decoded and upright, with the channels that are stored.

    A JPEG may be decoded at a fraction of its size that is not below `draft`. Raises BadPicture.
    """
    from PIL import ImageOps

    picture = open_picture(content)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if draft is not None:
                picture.draft("RGB", draft)
            picture.load()
            return ImageOps.exif_transpose(picture)
    except MemoryError:
        raise
    except Exception as error:
        raise BadPicture(DAMAGED) from error


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
    """Whether the EXIF orientation of a file is not upright; raises BadPicture."""
    picture = open_picture(content)
    try:
        return bool(picture.getexif().get(ORIENTATION, UPRIGHT) != UPRIGHT)
    except Exception as error:
        raise BadPicture(DAMAGED) from error


def encode_png(picture: Image) -> bytes:
    """The picture as a PNG file."""
    stream = io.BytesIO()
    picture.save(stream, "PNG")
    return stream.getvalue()
