"""The search for pictures that may show the same: views of each, compared by their coarse structure.

A view is a part of a picture: all of it, its middle square, a corner, what is left of it without a
margin or without a bar of text. Its descriptor is the 63 lowest frequencies of a cosine transform
(those of pHash), each weighted by its frequency, as a vector of length 1. Mirroring a picture
changes signs of the descriptor, turning it by a right angle transposes it, so that one descriptor
finds eight pictures. A descriptor still fits a part that is shifted or cut by about 6 % of a side.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.data.held_out.portraits import SIDE, WHOLE, Box, Plane, Portrait, samplers

FREQUENCIES = 8
_SAMPLES = 32
# Two views may show the same from this cosine on. Of unrelated photographs it is 0 +- 0.16.
LEAST = 0.65
# Of each held-out picture that many views are tried, and that many in all.
EACH, MOST = 3, 10
# Pictures nearer to a square than this have no middle square of their own.
_SQUARE = 1.08


@dataclass(frozen=True)
class Turn:
    """One of the eight ways to lay a square: transposed, then flipped."""

    transposed: bool = False
    upside_down: bool = False
    mirrored: bool = False

    def plane(self, plane: Plane) -> Plane:
        if self.transposed:
            plane = plane.swapaxes(-1, -2)
        if self.upside_down:
            plane = plane[..., ::-1, :]
        return plane[..., ::-1] if self.mirrored else plane

    def box(self, box: Box) -> Box:
        """Where a part of the picture is in the turned picture."""
        if self.transposed:
            box = Box(box.left, box.right, box.top, box.bottom)
        if self.upside_down:
            box = box._replace(top=1 - box.bottom, bottom=1 - box.top)
        return box._replace(left=1 - box.right, right=1 - box.left) if self.mirrored else box

    @property
    def reverses(self) -> bool:
        """Whether it makes a mirror image, and not only a rotation."""
        return self.transposed ^ self.upside_down ^ self.mirrored


class Candidate(NamedTuple):
    """A view of a held-out picture, turned, that may show what a view of another picture shows."""

    picture: int
    held: Box
    turn: Turn
    seen: Box


class ViewIndex:
    """The views of held-out pictures, in memory: about 17 descriptors of 256 bytes a picture."""

    def __init__(self, portraits: Iterable[Portrait]) -> None:
        self._boxes: list[Box] = []
        owners: list[int] = []
        found = [np.zeros((0, FREQUENCIES, FREQUENCIES), np.float32)]
        for number, portrait in enumerate(portraits):
            boxes = held_views(portrait)
            self._boxes += boxes
            owners += [number] * len(boxes)
            found.append(descriptors(portrait, boxes))
        self._owners = np.array(owners, np.int64)
        views = np.concatenate(found)
        # By the parity of the frequencies: what a mirror image has the other sign of.
        self._views = [np.ascontiguousarray(_parity(views, *odd)).T for odd in np.ndindex(2, 2)]

    def candidates(self, portrait: Portrait, most: int = MOST) -> list[Candidate]:
        """At most `most` views of held-out pictures, EACH of one, the most alike first."""
        if not self._boxes:
            return []
        boxes = seen_views(portrait)
        straight = descriptors(portrait, boxes)
        # A picture is turned by a right angle.
        few = 1 + (portrait.content != WHOLE)
        turned = straight[:few].swapaxes(1, 2)
        alike = np.concatenate([self._alike(straight), self._alike(turned)])
        best = alike.max(axis=0)
        likely = np.flatnonzero(best >= LEAST)
        order = likely[np.lexsort((likely, -best[likely]))]
        taken: dict[int, int] = {}
        found: list[Candidate] = []
        for view in order.tolist():
            picture = int(self._owners[view])
            if taken.get(picture, 0) == EACH:
                continue
            taken[picture] = taken.get(picture, 0) + 1
            line = int(alike[:, view].argmax())
            transposed = line >= len(boxes)
            seen = line - len(boxes) * transposed
            looked = straight[seen].T if transposed else straight[seen]
            turn = self._turn(looked, view, transposed)
            found.append(Candidate(picture, turn.box(self._boxes[view]), turn, boxes[seen]))
            if len(found) == most:
                break
        return found

    def _alike(self, looked: NDArray[np.float32]) -> NDArray[np.float32]:
        """The cosines (Q, N) of descriptors with each view, as the best of its mirror images."""
        even, mirrored, upside, both = (
            _parity(looked, *odd) @ views
            for odd, views in zip(np.ndindex(2, 2), self._views, strict=True)
        )
        return np.maximum(
            even + both + np.abs(mirrored + upside), even - both + np.abs(mirrored - upside)
        )

    def _turn(self, looked: Plane, view: int, transposed: bool) -> Turn:
        """How the view is turned to be most alike."""
        even, mirrored, upside, both = (
            float((_parity(looked[None], *odd) @ views[:, view])[0])
            for odd, views in zip(np.ndindex(2, 2), self._views, strict=True)
        )
        if transposed:
            mirrored, upside = upside, mirrored
        return max(
            (Turn(transposed, bool(y), bool(x)) for y, x in np.ndindex(2, 2)),
            key=lambda turn: (
                even
                + mirrored * (-1) ** turn.mirrored
                + upside * (-1) ** turn.upside_down
                + both * (-1) ** (turn.mirrored + turn.upside_down)
            ),
        )


def descriptors(portrait: Portrait, boxes: Sequence[Box]) -> NDArray[np.float32]:
    """The descriptors of parts of a picture: (N, FREQUENCIES, FREQUENCIES), vertical first."""
    sides = np.array(boxes, np.float64)
    rows = _cosines() @ samplers(sides[:, 0], sides[:, 1], _SAMPLES, SIDE)
    columns = _cosines() @ samplers(sides[:, 2], sides[:, 3], _SAMPLES, SIDE)
    found = rows @ portrait.grey @ columns.swapaxes(1, 2)
    frequency = np.arange(FREQUENCIES)
    found *= np.hypot(frequency[:, None], frequency).astype(np.float32)
    length = np.sqrt((found**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(found / np.maximum(length, 1e-6), np.float32)


def held_views(portrait: Portrait) -> list[Box]:
    """The parts of a held-out picture that are looked for."""
    boxes = [WHOLE, _middle(WHOLE, 0.87), _middle(WHOLE, 0.76)]
    for part in (0.76, 0.87):
        ends = ((0.0, part), (1 - part, 1.0))
        boxes += [Box(*rows, *columns) for rows in ends for columns in ends]
    boxes += [Box(*rows, 0.0, 1.0) for rows in ends] + [Box(0.0, 1.0, *columns) for columns in ends]
    if not 1 / _SQUARE < portrait.aspect < _SQUARE:
        boxes += [portrait.square, _middle(portrait.square, 0.87)]
    return boxes + _content(portrait)


def seen_views(portrait: Portrait) -> list[Box]:
    """The parts of another picture in which a held-out one may be."""
    boxes = [WHOLE, *_content(portrait)]
    # A bar of text above or below.
    boxes += [Box(0.0, 1 - bar, 0.0, 1.0) for bar in (0.12, 0.2)]
    boxes += [Box(bar, 1.0, 0.0, 1.0) for bar in (0.12, 0.2)]
    boxes += [_middle(WHOLE, part) for part in (0.87, 0.76)]
    return boxes if 1 / _SQUARE < portrait.aspect < _SQUARE else [*boxes, portrait.square]


def _content(portrait: Portrait) -> list[Box]:
    return [portrait.content] if portrait.content != WHOLE else []


def _middle(box: Box, part: float) -> Box:
    down, across = ((1 - part) / 2 * side for side in (box.bottom - box.top, box.right - box.left))
    return Box(box.top + down, box.bottom - down, box.left + across, box.right - across)


def _parity(found: NDArray[np.float32], row: int, column: int) -> NDArray[np.float32]:
    """The frequencies of descriptors that are odd (1) or even (0) in each direction: (N, 16)."""
    return found[:, row::2, column::2].reshape(len(found), FREQUENCIES**2 // 4)


@cache
def _cosines() -> NDArray[np.float32]:
    """The lowest frequencies of the cosine transform: (FREQUENCIES, _SAMPLES)."""
    frequency, place = np.arange(FREQUENCIES)[:, None], np.arange(_SAMPLES) + 0.5
    scale = np.where(frequency == 0, 1.0, np.sqrt(2.0)) / np.sqrt(_SAMPLES)
    return np.asarray(np.cos(np.pi * frequency * place / _SAMPLES) * scale, np.float32)
