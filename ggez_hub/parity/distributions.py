"""Quantiles of Student's t and tails of the binomial, without scipy."""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist

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
