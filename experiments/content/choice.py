"""The choice of beta for one seed, from its validation answers alone.

These two functions stand in for the package's own choice of beta; `models` imports them in one line.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

KEPT = 0.98
Z_95 = 1.959964
_SAME = 1e-9  # differences of GRP below it are rounding


def choose_parity(parity: NDArray[np.float64], betas: Sequence[float]) -> int:
    """The place of the beta with the highest GRP; the smaller of equals. `betas` ascend."""
    assert list(betas) == sorted(betas)
    return int(np.flatnonzero(parity >= parity.max() - _SAME)[0])


def choose_keep(
    parity: NDArray[np.float64], others: NDArray[np.float64], betas: Sequence[float]
) -> int | None:
    """The place of the beta with the highest GRP among those that keep 98 % outside the region.

    A beta keeps it if Q_others(beta) - 0.98 Q_others(0), minus one standard error of that paired
    difference, is at least 0; beta 0 always does.

    parity  (betas,)
    others  (betas, concepts): the chance-corrected score of each concept outside the region

    Returns None where the base is at chance outside the region.
    """
    assert betas[0] == 0
    if others[0].mean() - Z_95 * _error(others[0]) <= 0:
        return None
    margin = others - KEPT * others[0]
    keeps = margin.mean(axis=1) - np.array([_error(row) for row in margin]) >= 0
    keeps[0] = True
    return choose_parity(np.where(keeps, parity, -np.inf), betas)


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))
