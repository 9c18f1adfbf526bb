"""The interval of every printed figure of parity, from its moments alone.

A score or side     Wilson's, with the effective size of answers that share pictures
GRP                 the limits of its sides, squared and added with their correlation (MOVER)
a difference        Tango's limits of each side's change, added in the same way

All take the quantile of Student's t with C - 1 degrees of freedom for C pictures. docs/parity.md has the
coverage of these and of the methods that were tried beside them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ggez_hub.parity.distributions import t_quantile
from ggez_hub.parity.limits import (
    Floats,
    change_limits,
    combined_limits,
    effective_size,
    share_limits,
)
from ggez_hub.parity.moments import (
    OTHERS,
    SIDES,
    Moments,
    Side,
    grp_weights,
)

LEVEL = 0.95
KEPT = 0.98
# With fewer pictures than this, a figure that rests on very few of them is not decided.
FEW_PICTURES = 100
# Answers that are right, and that are wrong, on each side of a GRP.
FEWEST_OF_EACH = 2.5
# Pictures whose answers differ, over the sides of a difference.
FEWEST_CHANGED = 5.0


@dataclass(frozen=True)
class Interval:
    """A figure in points (100 is the whole scale) with its standard error and 95 % interval.

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
    def excludes_zero(self) -> bool:
        """Whether the interval is decided and lies wholly on one side of 0."""
        return self.is_decided and (self.low > 0 or self.high < 0)


def estimate_share(
    value: float,
    se: float,
    pictures: int,
    *,
    lowest: float = 0.0,
    highest: float = 100.0,
    level: float = LEVEL,
) -> Interval:
    """The interval of a mean of values between `lowest` and `highest` over clustered items.

    se: the clustered standard error of the mean, sqrt(C / (C - 1) * sum_c u_c^2) over C pictures.
    """
    if refusal := _unusable(pictures, value, se):
        return Interval(value, se, lowest, highest, pictures, refusal)
    span = highest - lowest
    share = np.clip(np.array((value - lowest) / span), 0, 1)
    low, high = share_limits(share, np.array(se / span), pictures, quantile(pictures, level))
    return Interval(value, se, lowest + span * float(low), lowest + span * float(high), pictures)


def estimate_score(moments: Moments, side: Side, index: int) -> Interval:
    """The score of a side at one beta, as scored."""
    s = SIDES.index(side)
    return estimate_share(
        float(moments.scores[s, index]), float(moments.errors[s, index]), moments.pictures[s]
    )


def estimate_side(moments: Moments, side: Side, index: int, *, level: float = LEVEL) -> Interval:
    """The chance-corrected score of a side at one beta."""
    return estimate(moments, side_weights(moments, side, index), level=level)


def estimate_grp(moments: Moments, alpha: float, index: int) -> Interval:
    """GRP at one beta."""
    return estimate(moments, grp_weights(alpha, index, moments.means.shape[1]))


def estimate_grp_difference(moments: Moments, alpha: float, index: int, other: int) -> Interval:
    """GRP at one beta less that at another."""
    betas = moments.means.shape[1]
    return estimate(moments, grp_weights(alpha, index, betas) - grp_weights(alpha, other, betas))


def estimate_side_difference(moments: Moments, side: Side, index: int, other: int) -> Interval:
    """The chance-corrected score of a side at one beta less that at another."""
    return estimate(
        moments, side_weights(moments, side, index) - side_weights(moments, side, other)
    )


def estimate_surplus(
    moments: Moments, index: int, *, kept: float = KEPT, base: int = 0
) -> Interval:
    """D = Q_others(b) - kept * Q_others(0), above chance: at least 0 where that share is kept."""
    return estimate(moments, surplus_weights(moments, index, kept=kept, base=base))


def side_weights(moments: Moments, side: Side, index: int) -> Floats:
    """The weights (3, B) of one side at one beta."""
    weights = np.zeros(moments.means.shape)
    weights[SIDES.index(side), index] = 1
    return weights


def surplus_weights(moments: Moments, index: int, *, kept: float = KEPT, base: int = 0) -> Floats:
    """The weights (3, B) of D = Q_others(b) - kept * Q_others(0)."""
    weights = np.zeros(moments.means.shape)
    weights[OTHERS, index] += 1
    weights[OTHERS, base] -= kept
    return weights


def estimate(moments: Moments, weights: Floats, *, level: float = LEVEL) -> Interval:
    """The interval of sum(weights * means), of at most two betas on each side; weights: (3, B).

    Of two betas with weights w and v, |w| >= |v|, the terms are w times the change from the other
    beta and w + v times that other's score. Raises ValueError for more betas than two.
    """
    used = [int(s) for s in np.flatnonzero(np.any(weights != 0, axis=1))]
    value, se = moments.combine(weights)
    pictures = max((moments.pictures[s] for s in used), default=0)
    reach = [_reach(moments, s) for s in range(len(SIDES))]
    ends = np.array([[low, high] for low, high in reach])
    fewest = min((moments.pictures[s] for s in used), default=0)
    if refusal := _unusable(fewest, value, se):
        sums = weights.sum(axis=1)
        low = float(np.sum(np.minimum(sums * ends[:, 0], sums * ends[:, 1])))
        high = float(np.sum(np.maximum(sums * ends[:, 0], sums * ends[:, 1])))
        changes = float(np.sum(np.abs(weights).sum(axis=1) - np.abs(sums))) / 2 * 100
        return Interval(value, se, low - changes, high + changes, pictures, refusal)
    terms = [term for s in used for term in _terms(moments, s, weights[s], level)]
    low_, high_ = combined_limits(
        np.array([t.weight for t in terms]),
        np.array([t.value for t in terms]),
        np.array([t.low for t in terms]),
        np.array([t.high for t in terms]),
        _correlation(moments, terms),
    )
    found = Interval(value, se, float(low_), float(high_), pictures)
    return replace(found, refusal=_sparse(terms, fewest))


@dataclass(frozen=True, eq=False)
class _Term:
    """A part of a sum: a score of one beta, or a change between two.

    rests_on  the right or wrong answers that there are fewest of; the pictures that changed
    """

    weights: Floats
    weight: float
    value: float
    low: float
    high: float
    is_change: bool
    rests_on: float


def _terms(moments: Moments, s: int, weights: Floats, level: float) -> list[_Term]:
    betas = [int(b) for b in np.flatnonzero(weights)]
    if len(betas) > 2:
        raise ValueError(f"an interval compares at most two betas, not {len(betas)}")
    if len(betas) == 1:
        return [_score_term(moments, s, betas[0], float(weights[betas[0]]), level)]
    first, second = sorted(betas, key=lambda b: -abs(float(weights[b])))
    found = [_change_term(moments, s, first, second, float(weights[first]), level)]
    if rest := float(weights[first] + weights[second]):
        found.append(_score_term(moments, s, second, rest, level))
    return found


def _score_term(moments: Moments, s: int, beta: int, weight: float, level: float) -> _Term:
    lowest, highest = _reach(moments, s)
    unit = np.zeros(moments.means.shape)
    unit[s, beta] = 1
    value, se = moments.combine(unit)
    found = estimate_share(
        value, se, moments.pictures[s], lowest=lowest, highest=highest, level=level
    )
    span = highest - lowest
    share = np.clip(np.array((value - lowest) / span), 0, 1)
    size = effective_size(share, np.array(se / span), moments.pictures[s])
    fewest = float(size * np.minimum(share, 1 - share))
    return _Term(unit, weight, value, found.low, found.high, False, fewest)


def _change_term(
    moments: Moments, s: int, first: int, second: int, weight: float, level: float
) -> _Term:
    lowest, highest = _reach(moments, s)
    span, pictures = highest - lowest, moments.pictures[s]
    unit = np.zeros(moments.means.shape)
    unit[s, first], unit[s, second] = 1, -1
    value, se = moments.combine(unit)
    known = moments.changed.shape[1] == moments.means.shape[1]
    changed = moments.changed[s, first, second] if known else np.nan
    low, high = change_limits(
        np.clip(np.array(value / span), -1, 1),
        np.array(se / span),
        np.array(changed),
        pictures,
        quantile(pictures, level),
    )
    whole = pictures * ((pictures - 1) * (se / span) ** 2 + (value / span) ** 2)
    rests_on = float(changed) if math.isfinite(changed) else whole
    return _Term(unit, weight, value, span * float(low), span * float(high), True, rests_on)


def _reach(moments: Moments, s: int) -> tuple[float, float]:
    """The lowest and the highest value of a side: all wrong, all right."""
    floor = float(moments.floors[s]) / 100
    return (-100 * floor / (1 - floor) if 0 <= floor < 1 else 0.0), 100.0


def _correlation(moments: Moments, terms: Sequence[_Term]) -> Floats:
    rows = np.array([t.weights.ravel() for t in terms])
    size = rows.shape[1]
    covariance = rows @ moments.covariance.reshape(size, size) @ rows.T
    errors = np.sqrt(np.maximum(np.diag(covariance), 0))
    both = np.outer(errors, errors)
    found = np.clip(np.where(both > 0, covariance / np.where(both > 0, both, 1), 0), -1, 1)
    np.fill_diagonal(found, 1)
    return np.asarray(found)


def quantile(pictures: int, level: float = LEVEL) -> float:
    """What the half width of an interval over so many pictures is a multiple of."""
    return t_quantile((1 + level) / 2, pictures - 1)


def _unusable(pictures: int, *figures: float) -> str | None:
    if not all(map(math.isfinite, figures)):
        return "there is no score"
    if pictures < 2:
        return f"an interval needs at least two pictures, there are {pictures}"
    return None


def _sparse(terms: Sequence[_Term], pictures: int) -> str | None:
    if pictures >= FEW_PICTURES:
        return None
    changes = [t.rests_on for t in terms if t.is_change]
    if changes:
        if sum(changes) < FEWEST_CHANGED:
            return f"the answers to {sum(changes):.3g} of {pictures} pictures changed"
        return None
    fewest = min(t.rests_on for t in terms)
    if len(terms) > 1 and fewest < FEWEST_OF_EACH:
        return f"with {pictures} pictures one side is all but right or wrong throughout"
    return None
