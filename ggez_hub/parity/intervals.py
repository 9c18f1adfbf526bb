"""95 % intervals of scores and of linear combinations of scores."""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.parity.moments import Floats, Moments

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Interval:
    """A value in points with its standard error and 95 % interval."""

    value: float
    se: float
    low: float
    high: float
    pictures: int


def combination_interval(moments: Moments, weights: Floats) -> Interval:
    """The interval of sum(weights * means), in points; weights: (3, B)."""
    value, se = moments.combine(weights)
    return Interval(value, se, value - Z_95 * se, value + Z_95 * se, max(moments.pictures))


def score_interval(score: float, se: float, pictures: int) -> Interval:
    """The interval of a mean score (0-100) from its clustered standard error."""
    return Interval(score, se, max(0.0, score - Z_95 * se), min(100.0, score + Z_95 * se), pictures)
