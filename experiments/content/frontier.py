"""The frontier: what is kept outside the region against what is gained inside, with beta along it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def along(betas: Sequence[float]) -> list[int]:
    """The places of the betas from base to adapter."""
    return [place for place, beta in enumerate(betas) if beta <= 1]


def area(others: NDArray[np.float64], regional: NDArray[np.float64]) -> NDArray[np.float64]:
    """The area between frontier and straight line, in shares of the triangle above the line.

    The straight line from base to adapter is what sending a share of the prompts to the adapter
    and the rest to the base gives. 0 is on the line, below 0 under it; 1 would keep all that the
    base has outside and gain all that the adapter has inside.

    others, regional  (..., betas): scores from base to adapter, in that order

    Not a number where the adapter loses nothing outside, or gains nothing inside.
    """
    x, y = (np.concatenate([side, side[..., :1]], axis=-1) for side in (others, regional))
    signed = (x[..., :-1] * y[..., 1:] - x[..., 1:] * y[..., :-1]).sum(axis=-1) / 2
    triangle = (others[..., 0] - others[..., -1]) * (regional[..., -1] - regional[..., 0]) / 2
    there = (others[..., 0] > others[..., -1]) & (regional[..., -1] > regional[..., 0])
    return np.where(there, signed, np.nan) / np.where(there, triangle, 1)


def lead(
    others: NDArray[np.float64],
    regional: NDArray[np.float64],
    outside: NDArray[np.float64],
    inside: NDArray[np.float64],
) -> NDArray[np.float64]:
    """How far a model is above the frontier: in points of Q_regional, at its own Q_others.

    Between two betas the frontier is straight; beyond its ends it goes on level.

    others, regional  (redraws, betas): the frontier
    outside, inside   (redraws,): Q_others and Q_regional of the model
    """
    found = []
    for x, y, own in zip(others, regional, outside, strict=True):
        order = np.argsort(x)
        found.append(np.interp(own, x[order], y[order]))
    return np.asarray(inside - np.array(found))
