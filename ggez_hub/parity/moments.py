"""The scores of a grid of betas on each side of parity, and how they vary together.

All arithmetic of parity is linear in these scores, so their means and covariances decide every
value, standard error and paired difference, at any alpha.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

GLOBAL, OTHERS, REGIONAL = SIDES = range(3)
Floats: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Moments:
    """Scores of three sides at B betas, on the scale from 0 to 100.

    means       (3, B): chance-corrected, 0 at chance and 100 at the ceiling; NaN where a side has no
                items
    covariance  (3, B, 3, B): of the means, clustered by picture; 0 where a side has no items
    scores      (3, B): as scored, without correction for chance
    errors      (3, B): the standard errors of `scores`
    floors      (3,): the score of guessing, the mean over the tasks of a side
    pictures    (3,): different pictures that a side asks about
    changed     (3, B, B): the effective number of pictures of a side whose score differs between two
                betas (`count_changes`); NaN where it is not known, which widens intervals of differences
                unless each picture has one question
    """

    means: Floats
    covariance: Floats
    scores: Floats
    errors: Floats
    floors: Floats
    pictures: tuple[int, ...]
    changed: Floats

    def combine(self, weights: Floats) -> tuple[float, float]:
        """The value and the standard error of sum(weights * means); weights: (3, B)."""
        value = float(np.sum(np.where(weights == 0, 0.0, weights * self.means)))
        variance = float(np.einsum("sb,sbtc,tc->", weights, self.covariance, weights))
        return value, float(np.sqrt(max(0.0, variance)))

    def side(self, side: int, index: int) -> Floats:
        """The weights (3, B) of one side at one beta."""
        weights = np.zeros(self.means.shape)
        weights[side, index] = 1
        return weights

    def grp(self, alpha: float, index: int) -> Floats:
        """The weights (3, B) of GRP = alpha * Q_global + (1 - alpha) * Q_regional at one beta."""
        return alpha * self.side(GLOBAL, index) + (1 - alpha) * self.side(REGIONAL, index)

    def surplus(self, index: int, kept: float, base: int) -> Floats:
        """The weights (3, B) of D = Q_others(b) - kept * Q_others(0)."""
        return self.side(OTHERS, index) - kept * self.side(OTHERS, base)


def correlation(covariance: Floats) -> Floats:
    """The correlations of a covariance (n, n); a figure that does not vary is taken as independent."""
    errors = np.sqrt(np.maximum(0.0, np.diag(covariance)))
    both = np.outer(errors, errors)
    found = np.clip(np.where(both > 0, covariance / np.where(both > 0, both, 1.0), 0.0), -1, 1)
    np.fill_diagonal(found, 1.0)
    return np.asarray(found)


def clustered_moments(
    contributions: Floats,
    means: Floats,
    scores: Floats,
    errors: Floats,
    floors: Floats,
    pictures: Sequence[int],
    changed: Floats | None = None,
) -> Moments:
    """Moments from the contributions of C pictures to each mean.

    contributions: (C, 3, B), the linearised share u_c of picture c in the error of a mean; the
    covariance is C / (C - 1) * sum_c u_c u_c' (Liang and Zeger's cluster-robust estimate).
    """
    clusters, sides, betas = contributions.shape
    flat = contributions.reshape(clusters, sides * betas)
    covariance = (flat.T @ flat) * (clusters / (clusters - 1))
    return Moments(
        means,
        covariance.reshape(sides, betas, sides, betas),
        scores,
        errors,
        floors,
        tuple(pictures),
        np.full((sides, betas, betas), np.nan) if changed is None else changed,
    )


def count_changes(shares: Floats) -> Floats:
    """(S, B, B): on how many pictures a side's score differs between two betas.

    shares: (C, S, B), what picture c adds to each mean, not centred: equal where its answers are.
    The number is (sum_c d_c^2)^2 / sum_c d_c^4, which counts pictures that change little for less;
    0 where none differs.
    """
    _, sides, betas = shares.shape
    found = np.zeros((sides, betas, betas))
    for side in range(sides):
        for first in range(betas):
            squares = (shares[:, side, : first + 1] - shares[:, side, [first]]) ** 2
            fourth = np.sum(squares**2, axis=0)
            count = np.sum(squares, axis=0) ** 2 / np.where(fourth > 0, fourth, 1.0)
            found[side, first, : first + 1] = found[side, : first + 1, first] = count
    return found
