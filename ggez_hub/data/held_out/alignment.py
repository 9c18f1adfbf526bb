"""Whether two pictures show the same: laid over each other, then compared block by block."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.data.held_out.portraits import WHOLE, Box, Plane, Portrait, samplers
from ggez_hub.data.held_out.views import Candidate

# The overlap is sampled at GRID x GRID places, in BLOCKS x BLOCKS blocks.
GRID, BLOCKS = 48, 8
# The alignment: places on a side, and rounds.
_COARSE, _FINE = (24, 6), (GRID, 4)
# The most that sizes and shifts change in a round.
_STEP = np.array([0.1, 0.05, 0.1, 0.05])
# After the coarse rounds, the correlation that is wanted, and how many go on.
_PROMISING, _KEPT = 0.7, 4
# An overlap is at least this share of either picture, and this is all of it.
_LEAST, _ALL = 0.2, 0.93
# What is beside an overlap shows at its edges: this share of each side is left out.
_EDGE = 0.025
# A block has structure if its contrast is this share of the overlap's.
_STRUCTURE = 0.25


class PictureFit(NamedTuple):
    """How well a picture fits a held-out one where they overlap.

    gradients   correlation of the two pictures' gradients, -1 to 1
    unlike      share of the blocks with structure whose correlation is below 0.6
    worst       the largest difference of a block, in units of the overlap's contrast
    level       mean absolute difference of grey, of 255
    colour      mean and largest difference of colour, of 255; both 0 where one picture has none
    grey        one of the two has no colour, and the other has
    cut         the overlap is not all of both
    corners     blocks with structure in both directions
    flat        share of the overlap without any structure
    """

    gradients: float
    unlike: float
    worst: float
    level: float
    colour: tuple[float, float]
    grey: bool
    cut: bool
    corners: int
    flat: float

    @property
    def plain(self) -> bool:
        return self.flat > 0.2

    @property
    def fits(self) -> bool:
        """Whether both show the same, one perhaps cut, with a margin, re-encoded or in grey."""
        fits = self.gradients > 0.75 and self.unlike <= 0.1 and self.worst <= 0.9
        if self.grey:
            return fits and self.level <= 10
        return fits and self.colour[0] <= 12 and self.colour[1] <= 45

    def decides(self, upright: bool) -> bool:
        """Whether it shows that one picture is a copy of the other, without more evidence.

        Plain drawings of one style are alike, and one that is turned may be another sign, so that
        they have to fit closely, or hardly differ where the copy is not `upright`.
        """
        if not self.plain:
            return self.fits
        close = self.gradients > 0.85 and self.unlike <= 0.04
        bent = self.cut or not upright
        return (
            self.fits
            and close
            and self.worst <= (0.4 if upright else 0.08)
            and (self.corners >= 7 or not bent)
        )


def compare(
    portrait: Portrait, candidates: Sequence[Candidate], held: Sequence[Portrait]
) -> list[PictureFit | None]:
    """The evidence of each candidate, whose portraits are `held`; None where nothing fits.

    A candidate's view gives a first position and size, which are adjusted until the squared
    difference is least (Gauss-Newton on two sizes, two shifts, contrast and brightness).
    """
    found: list[PictureFit | None] = [None] * len(candidates)
    if not candidates:
        return found
    grey = np.stack([c.turn.plane(p.grey) for c, p in zip(candidates, held, strict=True)])
    boxes = np.array([c.held for c in candidates], np.float64)
    place = _first_place(boxes, np.array([c.seen for c in candidates], np.float64))
    coarse = _adjusted(_halved(portrait.grey), _halved(grey), boxes, place, *_COARSE)
    order = np.argsort(-coarse, kind="stable")[:_KEPT]
    chosen = np.sort(order[coarse[order] > _PROMISING])
    if not len(chosen):
        return found
    fine = place[chosen]
    _adjusted(portrait.grey, grey[chosen], boxes[chosen], fine, *_FINE)
    for number, where in zip(chosen.tolist(), fine, strict=True):
        candidate = candidates[number]
        planes = grey[number], candidate.turn.plane(held[number].colour)
        evidence = _evidence(portrait, *planes, where, WHOLE)
        if evidence is None or not evidence.fits:
            # What was added to the picture may cover what was cut from it.
            part = _evidence(portrait, *planes, where, candidate.seen)
            if part is not None and part.fits and not part.plain:
                evidence = part
        found[number] = evidence
    return found


def _halved(planes: Plane) -> Plane:
    half = planes.shape[-1] // 2
    return planes.reshape(*planes.shape[:-2], half, 2, half, 2).mean(axis=(-3, -1))


def _first_place(held: NDArray[np.float64], seen: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sizes and shifts (N, 4: vertical size and shift, horizontal ones) that lay `held` on `seen`."""
    found = np.empty((len(held), 4))
    for axis in (0, 2):
        low, high = held[:, axis], held[:, axis + 1]
        found[:, axis] = (seen[:, axis + 1] - seen[:, axis]) / (high - low)
        found[:, axis + 1] = seen[:, axis] - found[:, axis] * low
    return found


def _adjusted(
    seen: Plane,
    held: Plane,
    boxes: NDArray[np.float64],
    place: NDArray[np.float64],
    grid: int,
    rounds: int,
) -> NDArray[np.float64]:
    """Improve the places, in place; returns the correlations (N,) before the last round."""
    count = len(held)
    middles = (np.arange(grid) + 0.5) / grid
    # What is compared, in the held-out picture's own coordinates.
    down = (boxes[:, :1] + (boxes[:, 1:2] - boxes[:, :1]) * middles)[:, :, None]
    across = (boxes[:, 2:3] + (boxes[:, 3:] - boxes[:, 2:3]) * middles)[:, None, :]
    target = _sampled(held, boxes, grid).reshape(count, -1)
    wide = np.broadcast_to(seen, (count, *seen.shape))
    terms = np.empty((count, 6, grid, grid), np.float32)
    terms[:, 4] = -target.reshape(count, grid, grid)
    terms[:, 5] = -1
    lines = terms.reshape(count, 6, -1)
    weights = np.diag([1, 1, 1, 1, 1e-3, 1e-3])
    looked = target
    for _ in range(rounds):
        # The same in the other picture's coordinates, and its slopes there.
        ends = boxes * place[:, [0, 0, 2, 2]] + place[:, [1, 1, 3, 3]]
        sampled = _sampled(wide, ends, grid)
        looked = sampled.reshape(count, -1)
        terms[:, 1] = _slopes(sampled, 1) * (grid / (ends[:, 1] - ends[:, 0]))[:, None, None]
        terms[:, 3] = _slopes(sampled, 2) * (grid / (ends[:, 3] - ends[:, 2]))[:, None, None]
        np.multiply(terms[:, 1], down, out=terms[:, 0], casting="same_kind")
        np.multiply(terms[:, 3], across, out=terms[:, 2], casting="same_kind")
        square = (lines @ lines.swapaxes(1, 2)).astype(np.float64)
        wanted = (lines @ -looked[..., None])[..., 0].astype(np.float64)
        damping = 1e-4 * np.trace(square, axis1=1, axis2=2) / 6 + 1e-6
        step = np.linalg.solve(square + damping[:, None, None] * weights, wanted[..., None])
        place += np.clip(step[:, :4, 0], -_STEP, _STEP)
        place[:, [0, 2]] = np.clip(place[:, [0, 2]], 0.2, 5.0)
    return _correlations(looked, target)


def _slopes(planes: Plane, axis: int) -> Plane:
    """The slopes of planes (N, grid, grid) along an axis, from both neighbours."""
    found = np.empty_like(planes)
    planes, turned = planes.swapaxes(1, axis), found.swapaxes(1, axis)
    turned[:, 1:-1] = (planes[:, 2:] - planes[:, :-2]) / 2
    turned[:, 0], turned[:, -1] = planes[:, 1] - planes[:, 0], planes[:, -1] - planes[:, -2]
    return found


def _correlations(one: Plane, other: Plane) -> NDArray[np.float64]:
    a = one - one.mean(axis=1, keepdims=True)
    b = other - other.mean(axis=1, keepdims=True)
    power = np.sqrt((a**2).sum(axis=1) * (b**2).sum(axis=1))
    return np.asarray((a * b).sum(axis=1) / np.maximum(power, 1e-9))


def _sampled(planes: Plane, boxes: NDArray[np.float64], grid: int) -> Plane:
    """Parts of planes (N, S, S), at (N, grid, grid) places."""
    side = planes.shape[-1]
    rows = samplers(boxes[:, 0], boxes[:, 1], grid, side)
    columns = samplers(boxes[:, 2], boxes[:, 3], grid, side)
    return np.asarray(rows @ planes @ columns.swapaxes(1, 2), np.float32)


def _evidence(
    portrait: Portrait, grey: Plane, colour: Plane, place: NDArray[np.float64], seen: Box
) -> PictureFit | None:
    """Compare the part `seen` of a picture with a held-out one, turned, where `place` lays it."""
    size, shift = place[[0, 2]], place[[1, 3]]
    low = np.maximum(0, (np.array([seen.top, seen.left]) - shift) / size)
    high = np.minimum(1, (np.array([seen.bottom, seen.right]) - shift) / size)
    sides = np.maximum(high - low, 0)
    shares = sides.prod(), (sides * size).prod()
    if min(shares) < _LEAST:
        return None
    low, high = low + _EDGE * sides, high - _EDGE * sides
    held_box = np.array([[low[0], high[0], low[1], high[1]]])
    seen_box = held_box * size[[0, 0, 1, 1]] + shift[[0, 0, 1, 1]]
    ours = _sampled(grey[None], held_box, GRID)[0]
    theirs = _sampled(portrait.grey[None], seen_box, GRID)[0]
    a, b = (plane - plane.mean() for plane in (ours, theirs))
    a, b = a / max(float(a.std()), 1e-6), b / max(float(b.std()), 1e-6)
    blocks, others = _blocks(a), _blocks(b)
    spread, spreads = blocks.std(axis=1), others.std(axis=1)
    alike = (
        (blocks - blocks.mean(axis=1, keepdims=True))
        * (others - others.mean(axis=1, keepdims=True))
    ).mean(axis=1) / (spread * spreads + 1e-4)
    structured = np.maximum(spread, spreads) > _STRUCTURE
    slopes, others_slopes = np.stack(np.gradient(ours)), np.stack(np.gradient(theirs))
    power = np.sqrt((slopes**2).sum() * (others_slopes**2).sum())
    planes = [
        _sampled(plane, np.repeat(box, 2, axis=0), BLOCKS)
        for plane, box in ((colour, held_box), (portrait.colour, seen_box))
    ]
    strongest = min(float(np.hypot(*both).max()) for both in planes)
    most = max(float(np.hypot(*both).max()) for both in planes)
    apart = np.hypot(*(planes[0] - planes[1]))
    colourless = strongest < 8
    return PictureFit(
        gradients=float((slopes * others_slopes).sum() / max(float(power), 1e-9)),
        unlike=float((alike[structured] < 0.6).mean()) if structured.any() else 0.0,
        worst=float(np.sqrt(((blocks - others) ** 2).mean(axis=1)).max()),
        level=float(np.abs(ours - theirs).mean()),
        colour=(0.0, 0.0) if colourless else (float(apart.mean()), float(apart.max())),
        grey=colourless and most >= 8,
        cut=min(shares) < _ALL,
        corners=_corners(slopes),
        flat=float((np.hypot(*others_slopes) < 1).mean()),
    )


def _blocks(plane: Plane) -> Plane:
    side = GRID // BLOCKS
    return plane.reshape(BLOCKS, side, BLOCKS, side).swapaxes(1, 2).reshape(BLOCKS**2, -1)


def _corners(slopes: Plane) -> int:
    """How many blocks have structure in both directions: by the eigenvalues of their tensors."""
    down, across = (_blocks(slope) for slope in slopes)
    pairs = ((down, down), (across, across), (down, across))
    first, second, mixed = ((x * y).mean(axis=1) for x, y in pairs)
    middle = (first + second) / 2
    apart = np.sqrt(((first - second) / 2) ** 2 + mixed**2)
    weak, strong = (np.sqrt(np.maximum(middle + sign * apart, 0)) for sign in (-1, 1))
    return int(((weak > 6) & (weak > 0.2 * strong)).sum())
