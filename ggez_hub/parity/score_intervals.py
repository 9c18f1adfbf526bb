"""Score intervals of scores, of changes, and of weighted sums of both.

A score interval holds the values that a test would not reject, with the variance taken at the value
that is tested and not at the one observed. So it stays within its bounds, and it is not empty where
nothing was observed to vary. Scores are shares in [0, 1], changes are in [-1, 1]; all figures may be
arrays of equal shape.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from statistics import NormalDist
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

NORMAL = NormalDist()
_TINY = 1e-300
_PRECISION = 1e-15


@lru_cache(maxsize=1024)
def t_quantile(probability: float, freedom: float) -> float:
    """The quantile of Student's t with `freedom` degrees of freedom; probability in (0, 1)."""
    if probability < 0.5:
        return -t_quantile(1 - probability, freedom)
    if not freedom < 1e7:
        return NORMAL.inv_cdf(probability)

    def below(t: float) -> float:
        return 1 - 0.5 * beta_cdf(freedom / (freedom + t * t), freedom / 2, 0.5)

    high = 2.0
    while below(high) < probability:
        high *= 2
    low = 0.0
    for _ in range(200):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if below(middle) < probability else (low, middle)
    return (low + high) / 2


def binomial_upper_tail(successes: float, n: float, chance: float) -> float:
    """P(X >= successes) for X of n trials with `chance` each.

    Both counts may be fractions: the incomplete beta function I_chance(x, n - x + 1) goes through
    the tails of the integers.
    """
    if successes <= 0:
        return 1.0
    if successes > n:
        return 0.0
    return beta_cdf(chance, successes, n - successes + 1)


def beta_cdf(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function I_x(a, b), by Lentz's continued fraction."""
    if x <= 0 or x >= 1:
        return float(x >= 1)
    if x > (a + 1) / (a + b + 2):
        return 1 - beta_cdf(1 - x, b, a)
    front = math.exp(
        math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log1p(-x)
    )
    return front * _fraction(x, a, b) / a


def _fraction(x: float, a: float, b: float) -> float:
    c, d = 1.0, 1 / _nonzero(1 - (a + b) * x / (a + 1))
    found = d
    for m in range(1, 10_000):
        for step in (
            m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m)),
            -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1)),
        ):
            d = 1 / _nonzero(1 + step * d)
            c = _nonzero(1 + step / c)
            change = c * d
            found *= change
        if abs(change - 1) < _PRECISION:
            break
    return found


def _nonzero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY


Floats: TypeAlias = NDArray[np.float64]
# How far each round goes to the variance that it finds: near a bound full steps would overshoot.
_STEPS = 40 * (0.5,) + 120 * (0.2,)
_CLOSE = 1e-10
# Doubt, in answers and in changes, about how alike answers and how unequal changes are: set by the
# simulation of docs/parity.md.
_ALIKE = 0.4
_UNEQUAL = 1.0
_NOTHING = 1e-30


@dataclass(frozen=True, eq=False)
class Share:
    """The mean of values in [0, 1] that share C pictures.

    `variance_at` is its variance if the truth were `value`, `first_variance` where an interval starts.

    size  the number of independent right-or-wrong answers with the same error (`effective_size`)
    """

    value: Floats
    size: Floats

    def variance_at(self, value: Floats) -> Floats:
        """p (1 - p) / n: the design effect is taken to be that of the estimate."""
        share = np.clip(value, 0.0, 1.0)
        return np.asarray(share * (1 - share) / self.size)

    @property
    def first_variance(self) -> Floats:
        """The variance with two right and two wrong answers added (Agresti and Coull)."""
        return self.variance_at((self.value * self.size + 2) / (self.size + 4))


@dataclass(frozen=True, eq=False)
class Change:
    """The difference of two means over the same C pictures, for gains and losses of one size.

    gained, lost  how many pictures gained and lost so much, fractions too
    size          what a gain or a loss is on one picture, in (0, 1]
    """

    gained: Floats
    lost: Floats
    size: Floats
    pictures: float

    @property
    def value(self) -> Floats:
        """size * (gained - lost) / C."""
        return np.asarray(self.size * (self.gained - self.lost) / self.pictures)

    def variance_at(self, value: Floats) -> Floats:
        """The variance with the shares of gains and losses that are likeliest at this difference.

        T. Tango, Statistics in Medicine 17 (1998).
        """
        falls = value < 0
        up, down = (
            np.where(falls, self.lost, self.gained),
            np.where(falls, self.gained, self.lost),
        )
        net, n = np.clip(np.abs(value) / self.size, 0.0, 1.0), self.pictures
        b = (2 * n - up + down) * net - up - down
        c = -down * net * (1 - net)
        share = (np.sqrt(np.maximum(0.0, b * b - 8 * n * c)) - b) / (4 * n)
        return np.asarray(self.size**2 * (2 * share + net * (1 - net)) / n)

    @property
    def first_variance(self) -> Floats:
        """The variance with one picture more that changed (Agresti and Min)."""
        return np.asarray((self.size / self.pictures) ** 2 * (self.gained + self.lost + 1))


def effective_size(share: Floats, error: Floats, pictures: float) -> Floats:
    """The number of independent right-or-wrong answers with the same error: p (1 - p) / se^2.

    `error` is the clustered standard error, with C / (C - 1); the number of pictures comes out where
    each has one question. Few answers of the rarer kind know little about how alike the answers to
    a picture are: a part of an answer is added that is entirely alike, as if each picture had one question.
    """
    spread = share * (1 - share)
    varies = (spread > 0) & (error > 0)
    variance = np.where(varies, (pictures - 1) * error**2, 1.0)
    rarer = np.where(varies, pictures * spread / variance * np.minimum(share, 1 - share), 0.0)
    effect = np.where(varies, variance / np.where(varies, spread, 1.0), 1.0)
    return np.asarray(pictures * (rarer + _ALIKE) / (effect * rarer + _ALIKE))


def share_of(share: Floats, error: Floats, pictures: float) -> Share:
    """A score from its clustered standard error."""
    return Share(share, effective_size(share, error, pictures))


def change_of(change: Floats, error: Floats, changed: Floats, pictures: float) -> Change:
    """A change from its clustered standard error and the effective number of changed pictures.

    The sum of squares and that number, (sum d^2)^2 / sum d^4, give the size of a change. Where the
    number is NaN or 0 one picture is taken to change.
    """
    squares = pictures * ((pictures - 1) * error**2 + change**2)
    known = np.isfinite(changed) & (changed > 0) & (squares > 0)
    # All of one sign and size are the fewest that give this change and these squares.
    fewest = (pictures * change) ** 2 / np.where(squares > 0, squares, 1.0)
    counted = np.where(known, changed, squares)
    number = np.maximum(counted, fewest)
    size = np.where(known, np.sqrt(squares / np.where(known, number, 1.0)), 1.0)
    # Few changes of one sign and of unequal sizes leave in doubt how large the next one is.
    unequal = np.maximum(0.0, fewest / np.where(known, counted, 1.0) - 1)
    doubt = np.where(known, _UNEQUAL * unequal / np.where(known, counted, 1.0), 0.0)
    size = np.clip(size * np.sqrt(1 + doubt), np.maximum(np.abs(change), 1e-9), 1.0)
    net = pictures * change / size
    total = np.clip(number, np.abs(net), pictures)
    return Change((total + net) / 2, (total - net) / 2, size, pictures)


def share_limits(share: Share, z: float) -> tuple[Floats, Floats]:
    """Wilson's limits: what `sum_limits` finds for one share, in closed form.

    E. B. Wilson, JASA 22 (1927); for clustered answers E. L. Korn and B. I. Graubard, Survey
    Methodology 24 (1998).
    """
    p, n = share.value, share.size
    scale = 1 + z * z / n
    centre = (p + z * z / (2 * n)) / scale
    half = z / scale * np.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    # At the ends the two terms cancel but for rounding.
    low = np.where(p <= 0, 0.0, np.clip(centre - half, 0.0, p))
    high = np.where(p >= 1, 1.0, np.clip(centre + half, p, 1.0))
    return low, high


def wilson(successes: int, n: int) -> tuple[float, float]:
    """The 95 % Wilson interval of a proportion of n > 0, in [0, 1]."""
    low, high = share_limits(Share(np.array(successes / n), np.array(n)), NORMAL.inv_cdf(0.975))
    return float(low), float(high)


def sum_limits(
    weights: Sequence[float], terms: Sequence[Share | Change], correlation: Floats, z: float
) -> tuple[Floats, Floats]:
    """Limits of sum_i w_i v_i; correlation: (..., k, k) of the errors of the k terms.

    At a limit, every term is where it is likeliest if the sum is there: the distance is shared in
    proportion to w_i and the covariances. The variance is that of the terms at these places.
    """
    w = np.asarray(weights, float)
    values = np.stack([term.value for term in terms], axis=-1)
    first = np.stack([term.first_variance for term in terms], axis=-1)
    found = [_distance(w, terms, values, first, correlation, sign * z) for sign in (-1, 1)]
    total = values @ w
    return total + found[0], total + found[1]


def _distance(
    w: Floats,
    terms: Sequence[Share | Change],
    values: Floats,
    variance: Floats,
    r: Floats,
    z: float,
) -> Floats:
    for step in _STEPS:
        # How each term's error varies with that of the sum, and the error of the sum.
        error = np.sqrt(variance)
        shared = error * np.einsum("...ij,...j->...i", r, error * w)
        total = np.sqrt(np.maximum(_NOTHING, shared @ w))
        places = values + z * shared / total[..., None]
        there = [term.variance_at(places[..., i]) for i, term in enumerate(terms)]
        move = step * (np.stack(there, axis=-1) - variance)
        variance = variance + move
        if np.all(np.abs(move) <= _CLOSE * variance + _NOTHING):
            break
    error = np.sqrt(variance)
    squared = np.einsum("...i,...ij,...j->...", error * w, r, error * w)
    return np.asarray(z * np.sqrt(np.maximum(0.0, squared)))
