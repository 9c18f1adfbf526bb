"""Outputs as raters get them: within limits, without anything that a browser or terminal obeys.

A picture is decoded and written again as PNG, so that no format's tricks, and no metadata that name a
model, reach a rater. A text loses its control characters.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import NamedTuple, TypeAlias

from ggez_hub.atomic_files import write_file
from ggez_hub.data.pictures import BadPicture, decode, picture_bytes
from ggez_hub.errors import GgezError
from ggez_hub.humans.study import Output
from ggez_hub.images import encode_png
from ggez_hub.text_files import COMMANDS

# A larger picture is made smaller: so many pixels a side are more than a rater's screen has.
MAX_SIDE = 2048
MAX_TEXT = 20_000


def displayable(text: str, most: int = MAX_TEXT) -> str:
    """The text with each character that a terminal or browser obeys replaced; cut at `most`."""
    shown = COMMANDS.sub("\ufffd", text.replace("\r\n", "\n"))
    return shown if len(shown) <= most else shown[: most - 1] + "…"


class PictureFile(NamedTuple):
    """A picture by its path in `folder` or below; it is read when it is needed."""

    path: str
    folder: Path


Picture: TypeAlias = bytes | PictureFile
Content: TypeAlias = str | Picture
"""A text, or a picture."""


def content_of(picture: Picture) -> bytes:
    """The bytes of a picture; raises GgezError for a file outside its folder, or too large."""
    if isinstance(picture, bytes):
        return picture
    try:
        return picture_bytes(picture.path, picture.folder)
    except BadPicture as error:
        raise GgezError(f"the picture {picture.path} cannot be used: {error.reason}") from error


class OutputFolder:
    """The outputs of a study that is being made, kept by the sha256 of their bytes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._known: dict[str, Output] = {}

    def keep(self, content: Content, what: str) -> Output:
        """Keep a text or a picture; raises GgezError that names `what` it is."""
        if isinstance(content, str):
            return self._keep(displayable(content).encode(), "text")
        content = content_of(content)
        # The same picture is asked about again and again.
        key = hashlib.sha256(content).hexdigest()
        if key not in self._known:
            self._known[key] = self._keep(_as_png(content, what), "picture")
        return self._known[key]

    def _keep(self, content: bytes, media: str) -> Output:
        output = Output.model_validate(
            {"sha256": hashlib.sha256(content).hexdigest(), "media": media}
        )
        path = self._folder / output.file
        if not path.is_file():
            # The complete folder is brought to the disk at the end.
            write_file(path, content, durable=False)
        return output


def _as_png(content: bytes, what: str) -> bytes:
    from PIL import Image

    try:
        picture = decode(content)
    except BadPicture as error:
        raise GgezError(f"the picture of {what} cannot be used: {error.reason}") from error
    picture.thumbnail((MAX_SIDE, MAX_SIDE))
    drawn = picture.convert("RGBA")
    # A new page: nothing of the file's own comes with it, and transparent parts are white.
    page = Image.new("RGBA", drawn.size, "white")
    page.alpha_composite(drawn)
    return encode_png(page.convert("RGB"))
