"""How often a rule for beta would take each beta if the pictures were drawn anew.

The scores of all sides and betas are redrawn from the normal with the covariance of the estimates. The
share of redraws is about the rule. A probability that a beta is the best is not given: from the same
normal with a flat prior it is not calibrated (docs/parity.md).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.parity.moments import Floats, Moments

Places: TypeAlias = NDArray[np.intp]

DRAWS = 2000
SEED = 0
# Variances below this share of the largest are rounding: identical answers stay identical.
_ROUNDING = 1e-12


def redraw_means(moments: Moments, draws: int = DRAWS, seed: int = SEED) -> Floats:
    """Means (draws, 3, B), normal about the estimates with their covariance; NaN stays NaN."""
    shape = moments.means.shape
    size = moments.means.size
    values, vectors = np.linalg.eigh(moments.covariance.reshape(size, size))
    kept = values > _ROUNDING * max(float(values[-1]), 0.0)
    spread = vectors[:, kept] * np.sqrt(values[kept])
    normal = np.random.default_rng(seed).standard_normal((draws, int(kept.sum())))
    return np.asarray(moments.means + (normal @ spread.T).reshape(draws, *shape))


def shares_of_redraws(
    moments: Moments,
    choose: Callable[[Floats], Places],
    draws: int = DRAWS,
    seed: int = SEED,
) -> Floats:
    """(B,): the share of redraws in which `choose` takes each beta.

    `choose` gets the means (draws, 3, B) drawn anew and returns the place (draws,) that it takes in each;
    -1, where it cannot choose, counts for no beta. The shares are of the rule: they are not the
    probability that a beta is the best.
    """
    taken = choose(redraw_means(moments, draws, seed))
    counts = np.bincount(taken[taken >= 0], minlength=moments.means.shape[1])
    return np.asarray(counts / draws, dtype=np.float64)
