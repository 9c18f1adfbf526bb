"""The choice of beta for one seed, from its validation answers alone.

It stands in for the package's own choice of beta: `choose_beta` is all that the experiment calls.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from experiments.content.scores import grp

Policy: TypeAlias = Literal["parity", "keep"]
POLICIES: tuple[Policy, ...] = ("parity", "keep")

KEPT = 0.98
Z_95 = 1.959964
_SAME = 1e-9  # differences of GRP below it are rounding


def choose_beta(
    policy: Policy,
    alpha: float,
    betas: Sequence[float],
    others: NDArray[np.float64],
    regional: NDArray[np.float64],
) -> int | None:
    """The place of the beta with the highest GRP among those that the policy may take.

    Of equal GRPs the smaller beta is taken. `keep` may take a beta if Q_others(beta) -
    0.98 Q_others(0), minus one standard error of that paired difference, is at least 0; and beta 0.

    betas             ascending from 0
    others, regional  (betas, concepts): the chance-corrected score of each concept of the side

    Returns None where `keep` is asked for and the base is at chance outside the region.
    """
    assert betas[0] == 0
    assert list(betas) == sorted(betas)
    parity = grp(alpha, others.mean(axis=1), regional.mean(axis=1))
    if policy == "keep":
        if others[0].mean() - Z_95 * _error(others[0]) <= 0:
            return None
        margin = others - KEPT * others[0]
        keeps = margin.mean(axis=1) - np.array([_error(row) for row in margin]) >= 0
        keeps[0] = True
        parity = np.where(keeps, parity, -np.inf)
    return int(np.flatnonzero(parity >= parity.max() - _SAME)[0])


def _error(values: NDArray[np.float64]) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))
