"""The interval of every printed figure of parity, from its moments alone.

All are score intervals (`limits`), clustered by picture: of a score or a side Wilson's, of a change
between two betas Tango's, and of a GRP or a difference of two the same for a weighted sum. They take
the quantile of Student's t with C - 1 degrees of freedom for C pictures. docs/parity.md has their
coverage, and that of the methods that were tried beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ggez_hub.parity.moments import SIDES, Moments, correlation
from ggez_hub.parity.score_intervals import (
    Change,
    Floats,
    Share,
    change_of,
    share_limits,
    share_of,
    sum_limits,
    t_quantile,
)
from ggez_hub.quantities import counted, interval_text

LEVEL = 0.95
# With fewer pictures than this, a figure that rests on very few of them is not decided.
FEW_PICTURES = 100
# Pictures whose answers changed, over the sides of a difference.
FEWEST_CHANGED = 6.0
# Independent answers of the rarer kind, right or wrong, over the sides of a GRP.
FEWEST_ANSWERS = 10.0


@dataclass(frozen=True)
class Interval:
    """A figure in points (100 is the full scale) with its standard error and 95 % interval.

    pictures  different pictures that it rests on; of a figure of two sides the larger number
    refusal   why the interval is not to be relied on, or None. Such a figure is *undetermined*: it
              decides nothing. The limits are given all the same
    """

    value: float
    se: float
    low: float
    high: float
    pictures: int
    refusal: str | None = None

    @property
    def is_decided(self) -> bool:
        """Whether the interval may decide something."""
        return self.refusal is None

    @property
    def is_above_zero(self) -> bool:
        """Whether it is shown to be above 0: decided, with its lower end above 0."""
        return self.is_decided and self.low > 0

    @property
    def is_below_zero(self) -> bool:
        return self.is_decided and self.high < 0

    @property
    def excludes_zero(self) -> bool:
        return self.is_above_zero or self.is_below_zero

    def as_dict(self) -> dict[str, object]:
        found: dict[str, object] = {
            "value": self.value,
            "se": self.se,
            "interval": [self.low, self.high],
        }
        return found if self.refusal is None else {**found, "refusal": self.refusal}

    def text(self, sign: str = "", *, digits: int = 2) -> str:
        return interval_text(self.value, self.low, self.high, sign, digits=digits)

    def shown(self, sign: str = "+") -> str:
        return f"{self.text(sign)}{'' if self.is_decided else ', undetermined'}"


def interval_json(found: Interval | None) -> dict[str, object] | None:
    """A figure as JSON, or null where there is none."""
    return None if found is None else found.as_dict()


def estimate_share(value: float, se: float, pictures: int) -> Interval:
    """The interval of a mean of values between 0 and 100 over clustered items.

    se: the clustered standard error of the mean, sqrt(C / (C - 1) * sum_c u_c^2) over C pictures.
    """
    if refusal := _unusable(pictures, value, se):
        return Interval(value, se, 0.0, 100.0, pictures, refusal)
    share = share_of(_share(value, 0.0, 100.0), np.array(se / 100), pictures)
    low, high = share_limits(share, quantile(pictures))
    return Interval(value, se, 100 * float(low), 100 * float(high), pictures)


def estimate_score(moments: Moments, side: int, index: int) -> Interval:
    """The score of a side at one beta as it is, from 0 to 100."""
    return estimate_share(
        float(moments.scores[side, index]),
        float(moments.errors[side, index]),
        moments.pictures[side],
    )


# A command prints the same figures in its text, a card and its JSON, and finding them takes long.
_remembered = lru_cache(maxsize=64)


@_remembered
def estimate_side(moments: Moments, side: int, index: int) -> Interval:
    """The chance-corrected score of a side at one beta."""
    return estimate(moments, moments.side(side, index))


@_remembered
def estimate_grp(moments: Moments, alpha: float, index: int) -> Interval:
    """GRP above chance at one beta."""
    return estimate(moments, moments.grp(alpha, index))


@_remembered
def estimate_grp_difference(moments: Moments, alpha: float, index: int, other: int) -> Interval:
    """GRP at one beta less that at another, paired by picture."""
    return estimate(moments, moments.grp(alpha, index) - moments.grp(alpha, other))


@_remembered
def estimate_side_difference(moments: Moments, side: int, index: int, other: int) -> Interval:
    """The chance-corrected score of a side at one beta less that at another."""
    return estimate(moments, moments.side(side, index) - moments.side(side, other))


@_remembered
def estimate_surplus(moments: Moments, index: int, *, kept: float, base: int) -> Interval:
    """D = Q_others(b) - kept * Q_others(0), above chance: at least 0 where that share is kept."""
    return estimate(moments, moments.surplus(index, kept, base))


def estimate(moments: Moments, weights: Floats) -> Interval:
    """The interval of sum(weights * means), of at most two betas on each side; weights: (3, B).

    Of two betas with weights w and v, |w| >= |v|, the terms are w times the change from the other
    beta and w + v times that other's score. Raises ValueError for more betas than two.
    """
    used = [int(s) for s in np.flatnonzero(np.any(weights != 0, axis=1))]
    value, se = moments.combine(weights)
    if not used:
        # A beta less itself.
        return Interval(0.0, 0.0, 0.0, 0.0, max(moments.pictures))
    pictures = [moments.pictures[s] for s in used]
    lowest, highest = _bounds(moments, weights)
    if refusal := _unusable(min(pictures), value, se):
        return Interval(value, se, lowest, highest, max(pictures), refusal)
    terms = [term for s in used for term in _terms(moments, s, weights[s])]
    low, high = _limits(moments, terms, quantile(min(pictures)))
    figures = [term.figure for term in terms]
    return Interval(
        value,
        se,
        min(value, max(lowest, low)),
        max(value, min(highest, high)),
        max(pictures),
        _sparse(figures, min(pictures)),
    )


@dataclass(frozen=True, eq=False)
class _Term:
    """A part of a sum: `weight` times (`lowest` + `span` * a score or a change); units: (3, B)."""

    figure: Share | Change
    weight: float
    lowest: float
    span: float
    units: Floats


def _terms(moments: Moments, s: int, weights: Floats) -> list[_Term]:
    betas = [int(b) for b in np.flatnonzero(weights)]
    if len(betas) > 2:
        raise ValueError(f"an interval compares at most two betas, not {len(betas)}")
    if len(betas) == 1:
        return [_score_term(moments, s, betas[0], float(weights[betas[0]]))]
    first, second = sorted(betas, key=lambda b: -abs(float(weights[b])))
    found = [_change_term(moments, s, first, second, float(weights[first]))]
    if rest := float(weights[first] + weights[second]):
        found.append(_score_term(moments, s, second, rest))
    return found


def _score_term(moments: Moments, s: int, beta: int, weight: float) -> _Term:
    lowest, highest = _reach(moments, s)
    span, units = highest - lowest, moments.side(s, beta)
    value, se = moments.combine(units)
    share = share_of(_share(value, lowest, span), np.array(se / span), moments.pictures[s])
    return _Term(share, weight, lowest, span, units)


def _change_term(moments: Moments, s: int, first: int, second: int, weight: float) -> _Term:
    lowest, highest = _reach(moments, s)
    span, units = highest - lowest, moments.side(s, first) - moments.side(s, second)
    value, se = moments.combine(units)
    changed = np.array(moments.changed[s, first, second])
    share = np.clip(np.array(value / span), -1.0, 1.0)
    change = change_of(share, np.array(se / span), changed, moments.pictures[s])
    return _Term(change, weight, 0.0, span, units)


def _limits(moments: Moments, terms: Sequence[_Term], z: float) -> tuple[float, float]:
    if len(terms) == 1 and isinstance(terms[0].figure, Share) and terms[0].weight > 0:
        ends = [float(end) * terms[0].span for end in share_limits(terms[0].figure, z)]
        low, high = (terms[0].weight * end for end in ends)
    else:
        rows = np.array([term.units.ravel() for term in terms])
        size = rows.shape[1]
        weights = [term.weight * term.span for term in terms]
        figures = [term.figure for term in terms]
        low, high = map(
            float,
            sum_limits(
                weights,
                figures,
                correlation(rows @ moments.covariance.reshape(size, size) @ rows.T),
                z,
            ),
        )
    start = math.fsum(term.weight * term.lowest for term in terms)
    return start + low, start + high


def _share(value: float, lowest: float, span: float) -> Floats:
    return np.asarray(np.clip((value - lowest) / span, 0.0, 1.0))


def _bounds(moments: Moments, weights: Floats) -> tuple[float, float]:
    """The least and the most that a weighted sum can be."""
    lowest, highest = np.array([_reach(moments, s) for s in SIDES]).T
    up, down = np.maximum(weights, 0).sum(axis=1), np.minimum(weights, 0).sum(axis=1)
    return float(up @ lowest + down @ highest), float(up @ highest + down @ lowest)


def _reach(moments: Moments, s: int) -> tuple[float, float]:
    """The lowest and the highest value of a side: all wrong, all right."""
    floor = float(moments.floors[s]) / 100
    return (-100 * floor / (1 - floor) if 0 <= floor < 1 else 0.0), 100.0


def quantile(pictures: int) -> float:
    """What the half width of an interval over so many pictures is a multiple of."""
    return t_quantile((1 + LEVEL) / 2, pictures - 1)


def _unusable(pictures: int, *figures: float) -> str | None:
    if not all(map(math.isfinite, figures)):
        return "there is no score"
    if pictures < 2:
        return f"an interval needs at least two pictures, there are {pictures}"
    return None


def _sparse(figures: Sequence[Share | Change], pictures: int) -> str | None:
    found, rests_on = is_sparse(figures, pictures)
    if not np.any(found):
        return None
    if any(isinstance(figure, Change) for figure in figures):
        return f"the answers to {float(rests_on):.3g} of {counted(pictures, 'picture')} changed"
    return f"over {counted(pictures, 'picture')} all but {float(rests_on):.3g} answers are right, or wrong"


def is_sparse(figures: Sequence[Share | Change], pictures: int) -> tuple[NDArray[np.bool_], Floats]:
    """Whether a sum rests on too few pictures to decide anything, and on how many it rests.

    With fewer than 100 pictures a difference is refused where fewer than 6 changed, and a GRP where
    its sides together have fewer than 10 independent answers of the rarer kind. One score never is.
    """
    parts: list[Floats] = [f.gained + f.lost for f in figures if isinstance(f, Change)]
    needed = FEWEST_CHANGED
    if not parts:
        parts = [f.size * np.minimum(f.value, 1 - f.value) for f in figures if isinstance(f, Share)]
        needed = FEWEST_ANSWERS if len(parts) > 1 else 0.0
    rests_on = np.asarray(np.sum(parts, axis=0))
    return np.asarray((pictures < FEW_PICTURES) & (rests_on < needed)), rests_on
