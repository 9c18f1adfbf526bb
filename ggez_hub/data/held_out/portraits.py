"""What is kept of a picture so that a copy of it can be found: a small square of grey and colour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from PIL.Image import Image

Plane: TypeAlias = NDArray[np.float32]

# Sides of the squares: grey, and the two planes of colour.
SIDE = 128
COLOUR_SIDE = 32
_GREY = SIDE * SIDE
_COLOUR = COLOUR_SIDE * COLOUR_SIDE
BYTES = _GREY + 2 * _COLOUR + 4
# A margin is what differs from its outermost line by less than this, of 255, on average.
_MARGIN = 4.0
# Margins take at most this share of a side, and leave at least that.
_MOST, _LEAST = 0.45, 0.2


class Box(NamedTuple):
    """A part of a picture, its sides as shares of the picture's."""

    top: float
    bottom: float
    left: float
    right: float


WHOLE = Box(0.0, 1.0, 0.0, 1.0)


@dataclass(frozen=True)
class Portrait:
    """A picture squeezed into a square.

    grey    (SIDE, SIDE), 0 to 255
    colour  (2, COLOUR_SIDE, COLOUR_SIDE), Cb and Cr less 128
    aspect  width over height
    """

    grey: Plane
    colour: Plane
    aspect: float

    @classmethod
    def of(cls, picture: Image) -> Portrait:
        """Of a decoded picture, which stands upright; what is transparent counts as white."""
        from PIL import Image

        if picture.has_transparency_data:
            above = picture.convert("RGBA")
            picture = Image.alpha_composite(Image.new("RGBA", above.size, "white"), above)
        planes = picture.convert("RGB").convert("YCbCr").split()
        grey, *colour = (
            np.asarray(plane.resize((side, side), Image.Resampling.BILINEAR, reducing_gap=2.0))
            for plane, side in zip(planes, (SIDE, COLOUR_SIDE, COLOUR_SIDE), strict=True)
        )
        return cls(
            grey.astype(np.float32),
            np.stack(colour).astype(np.float32) - 128,
            picture.width / picture.height,
        )

    def packed(self) -> bytes:
        """BYTES bytes, of which `unpacked` makes the same portrait."""
        grey, colour = (plane.astype(np.uint8) for plane in (self.grey, self.colour + 128))
        return grey.tobytes() + colour.tobytes() + np.array(self.aspect, "<f4").tobytes()

    @classmethod
    def unpacked(cls, content: bytes) -> Portrait:
        values = np.frombuffer(content, np.uint8, count=BYTES - 4).astype(np.float32)
        grey = values[:_GREY].reshape(SIDE, SIDE)
        colour = values[_GREY:].reshape(2, COLOUR_SIDE, COLOUR_SIDE) - 128
        return cls(grey, colour, float(np.frombuffer(content[-4:], "<f4")[0]))

    @cached_property
    def content(self) -> Box:
        return Box(*_inner(self.grey), *_inner(self.grey.T))

    @property
    def square(self) -> Box:
        """The square in the middle of the picture, which CLIP's preprocessing cuts out."""
        wide, high = min(1.0, 1 / self.aspect) / 2, min(1.0, self.aspect) / 2
        return Box(0.5 - high, 0.5 + high, 0.5 - wide, 0.5 + wide)


def _inner(plane: Plane) -> tuple[float, float]:
    """Where the rows between two margins of one colour begin and end, as shares."""
    first, last = _margin(plane), SIDE - _margin(plane[::-1])
    return (first / SIDE, last / SIDE) if last - first > _LEAST * SIDE else (0.0, 1.0)


def _margin(rows: Plane) -> int:
    """How many rows are of the colour of the first one."""
    several = rows[: int(_MOST * SIDE)]
    other = np.abs(several - np.median(rows[0])).mean(axis=1) > _MARGIN
    return int(other.argmax()) if other.any() else len(several)


def samplers(
    low: Sequence[float] | NDArray[np.float64],
    high: Sequence[float] | NDArray[np.float64],
    count: int,
    side: int,
) -> Plane:
    """Matrices (N, count, side) that sample lines of `side` values at `count` places.

    The places are the middles of equal parts from `low` to `high`, shares of the line, one pair for
    each matrix; each takes the mean of what is around it, weighted by a triangle.
    """
    start, stop = np.asarray(low, np.float64)[:, None], np.asarray(high, np.float64)[:, None]
    middle = (start + (stop - start) * (np.arange(count) + 0.5) / count) * side - 0.5
    reach = np.maximum(1.0, np.abs(stop - start) * side / count)
    weight = 1 - np.abs(middle[..., None] - np.arange(side)) / reach[..., None]
    weight = np.maximum(weight, 0.0)
    total = weight.sum(axis=-1, keepdims=True)
    return (weight / np.maximum(total, 1e-9)).astype(np.float32)
