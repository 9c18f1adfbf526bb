"""Limits of the three kinds of figures that parity is made of; shares in [0, 1], changes in [-1, 1].

All are score intervals: the values that a test would not reject, with the variance taken at the value
that is tested. So they stay within their bounds, and are not empty where nothing was observed to vary.
All arguments may be arrays of equal shape; `z` is the quantile that the half width is a multiple of.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
_HALVINGS = 48


def effective_size(share: Floats, error: Floats, pictures: float) -> Floats:
    """The number of independent right-or-wrong answers with the same error: p (1 - p) / se^2.

    `error` is the clustered standard error, with C / (C - 1); a number for each picture comes out
    where each has one question. It is the number of pictures where nothing varies.
    """
    spread = share * (1 - share)
    varies = (spread > 0) & (error > 0)
    ratio = np.where(varies, spread, 1.0) / np.where(varies, (pictures - 1) * error**2, 1.0)
    return np.asarray(np.where(varies, pictures * ratio, float(pictures)))


def share_limits(
    share: Floats, error: Floats, pictures: float, z: float | Floats
) -> tuple[Floats, Floats]:
    """Wilson's limits of a mean of values in [0, 1], with the effective size of clustered answers.

    E. B. Wilson, JASA 22 (1927); E. L. Korn and B. I. Graubard, Survey Methodology 24 (1998).
    """
    size = effective_size(share, error, pictures)
    scale = 1 + z * z / size
    centre = (share + z * z / (2 * size)) / scale
    half = z / scale * np.sqrt(share * (1 - share) / size + z * z / (4 * size * size))
    # At the ends the two terms cancel but for rounding.
    low = np.where(share <= 0, 0.0, np.clip(centre - half, 0, 1))
    high = np.where(share >= 1, 1.0, np.clip(centre + half, 0, 1))
    return np.minimum(low, share), np.maximum(high, share)


def change_limits(
    change: Floats, error: Floats, changed: Floats, pictures: float, z: float | Floats
) -> tuple[Floats, Floats]:
    """Tango's limits of the difference of two means over the same C pictures.

    `changed` is the effective number of pictures whose value differs, (sum d^2)^2 / sum d^4. With it
    and the sum of squares the differences are taken for gains and losses of one size, of which there
    are (M + C D) / 2 and (M - C D) / 2 in units of that size; NaN takes the size for a whole picture.
    T. Tango, Statistics in Medicine 17 (1998).
    """
    squares = pictures * ((pictures - 1) * error**2 + change**2)
    known = np.isfinite(changed) & (changed > 0) & (squares > 0)
    size = np.sqrt(np.where(known, squares, 1.0) / np.where(known, changed, 1.0))
    size = np.minimum(size, 1.0)
    net = pictures * change / size
    total = np.maximum(np.abs(net), np.minimum(squares / size**2, pictures))
    gained, lost = (total + net) / 2, (total - net) / 2
    low = -size * _upper_change(lost, gained, pictures, z)
    high = size * _upper_change(gained, lost, pictures, z)
    return np.minimum(low, change), np.maximum(high, change)


def _upper_change(gained: Floats, lost: Floats, pictures: float, z: float | Floats) -> Floats:
    low = (gained - lost) / pictures
    high = np.ones_like(low)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        # The likeliest share of losses if the difference is `middle`.
        b = (2 * pictures - gained + lost) * middle - gained - lost
        c = -lost * middle * (1 - middle)
        share = (np.sqrt(np.maximum(0.0, b * b - 8 * pictures * c)) - b) / (4 * pictures)
        variance = pictures * (2 * share + middle * (1 - middle))
        inside = (gained - lost - pictures * middle) ** 2 <= z * z * variance
        low, high = np.where(inside, middle, low), np.where(inside, high, middle)
    return np.asarray(low)


def combined_limits(
    weights: Floats, values: Floats, lows: Floats, highs: Floats, correlation: Floats
) -> tuple[Floats, Floats]:
    """Limits of sum_i w_i v_i from those of its terms: the distances are squared and added.

    weights (k,); values, lows, highs (..., k); correlation (..., k, k) of the values' errors.
    G. Y. Zou and A. Donner, Statistics in Medicine 27 (2008), "MOVER".
    """
    total = values @ weights
    below = weights * np.where(weights >= 0, values - lows, highs - values)
    above = weights * np.where(weights >= 0, highs - values, values - lows)
    return total - _length(below, correlation), total + _length(above, correlation)


def _length(distances: Floats, correlation: Floats) -> Floats:
    squared = np.einsum("...i,...ij,...j->...", distances, correlation, distances)
    return np.asarray(np.sqrt(np.maximum(0.0, squared)))
