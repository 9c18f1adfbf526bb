"""Untrusted pictures: their bytes, decoded within limits, and a perceptual hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from ggez_hub import images
from ggez_hub.data.examples import Unreadable, picture_path
from ggez_hub.data.held_out.portraits import Portrait
from ggez_hub.extras import require

if TYPE_CHECKING:
    from PIL.Image import Image

    from ggez_hub.data.rows import Row

MAX_BYTES = 256 << 20
# A JPEG is decoded at a fraction of its size, but not below this.
DRAFT = (256, 256)
# Below this spread of grey (standard deviation, of 255) a picture is flat: its hash is noise.
FLAT = 2.0


class BadPicture(Unreadable):
    """A picture cannot be used."""


class PictureHash(NamedTuple):
    """A picture's sha256, 64 bits of its pHash, and its portrait; all None without a picture.

    The last two are None of a flat picture, the portrait also where none was wanted.
    """

    sha256: bytes | None = None
    phash: int | None = None
    portrait: Portrait | None = None


def picture_bytes(cell: Any, folder: Path | None) -> bytes:
    """The bytes of a cell's picture, or of the file at its path in `folder`; raises BadPicture."""
    if isinstance(cell, bytes) and cell:
        return cell
    if isinstance(cell, dict) and isinstance(cell.get("bytes"), bytes) and cell["bytes"]:
        return cell["bytes"]
    name = picture_path(cell)
    if not name:
        raise BadPicture(
            "there is none" if cell is None or isinstance(cell, dict) else "wrong type"
        )
    if "://" in name:
        raise BadPicture("it is an address, not a file")
    if folder is None:
        raise BadPicture("it is a path, and the source has no `pictures`")
    root = folder.resolve()
    try:
        path = (root / name).resolve()
        if not path.is_relative_to(root):
            raise BadPicture("its path leaves the folder")
        # A pipe would be waited for.
        if not path.is_file():
            raise BadPicture("the file is missing")
        if path.stat().st_size > MAX_BYTES:
            raise BadPicture(images.TOO_LARGE)
        return path.read_bytes()
    except (OSError, ValueError, RuntimeError):
        # A name may be too long, hold a null byte, or be a link to itself.
        raise BadPicture("the file is missing") from None


def decode(content: bytes, *, draft: bool = False) -> Image:
    """The decoded picture, upright; with `draft` perhaps smaller. Raises BadPicture."""
    require("data", "PIL")
    try:
        return _eight_bits(images.upright(content, DRAFT if draft else None))
    except images.BadPicture as error:
        raise BadPicture(error.reason) from error


def _eight_bits(picture: Image) -> Image:
    """A picture of deeper greys in 256 of them: converted as it is, it would come out white.

    Of 16 bits the upper ones; of other depths, which have no fixed range, from darkest to lightest.
    """
    if not picture.mode.startswith(("I", "F")):
        return picture
    from PIL import Image

    values = np.asarray(picture, dtype=np.float32)
    low, high = (0.0, 65535.0) if picture.mode.startswith("I;16") else (values.min(), values.max())
    scaled = (values - low) * (255 / max(high - low, 1e-12))
    return Image.fromarray(np.nan_to_num(scaled).clip(0, 255).astype(np.uint8))


def hash_picture(content: bytes, portrait: bool = False) -> PictureHash:
    """Decode a picture and hash it, with `portrait` for copies of it too; raises BadPicture."""
    require("data", "imagehash")
    import imagehash

    picture = decode(content, draft=True)
    grey = picture.convert("L")
    digest = hashlib.sha256(content).digest()
    if float(np.asarray(grey).std()) < FLAT:
        return PictureHash(digest)
    bits = imagehash.phash(grey).hash.flatten()
    phash = int.from_bytes(np.packbits(bits).tobytes(), "big")
    return PictureHash(digest, phash, Portrait.of(picture) if portrait else None)


def with_pictures(rows: Sequence[Row]) -> tuple[list[int], Iterator[Image]]:
    """The places of the rows that have a picture, and the pictures in RGB.

    They are decoded one by one: photographs would fill the memory if all were there at once.
    """
    found = [(place, row.image["bytes"]) for place, row in enumerate(rows) if row.image]
    return [place for place, _ in found], (decode(content).convert("RGB") for _, content in found)
