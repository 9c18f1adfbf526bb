"""Whether a task is above chance at some beta of a grid, corrected for their number.

At each beta the number of right answers is compared with the binomial of guessing, over as many
independent answers as the clustered error is worth. The test of the grid is max-T: the smallest of the
tail probabilities is compared with that of as many normal figures with the correlations of the scores, so
a guesser whose answers are alike at all betas is not corrected for betas that say the same again.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

import numpy as np

from ggez_hub.parity.moments import Floats, correlation
from ggez_hub.parity.score_intervals import NORMAL, binomial_upper_tail, effective_size

State: TypeAlias = Literal["above chance", "at chance", "below chance"]
# One-sided, as the lower end of a 95 % interval. Only a task that is not above chance leaves the choice.
LEVEL = 0.025
_DRAWS = 10_000
_SEED = 0


def state_of(low: float, high: float, floor: float = 0.0) -> State:
    """The state of one score from its interval, without correction: for a score by itself."""
    if low > floor:
        return "above chance"
    return "below chance" if high < floor else "at chance"


def guessing_probability(scores: Floats, covariance: Floats, floor: float, pictures: int) -> float:
    """The corrected probability that guessing scores as well at some beta.

    scores      (B,) as scored, 0-100; NaN where a beta was not measured
    covariance  (B, B) of the scores, clustered by picture; diagonal where only the errors are known,
                which takes the betas as independent and corrects for all of them
    floor       what guessing scores, 0-100
    """
    measured = np.flatnonzero(np.isfinite(scores))
    if pictures < 2 or not measured.size or not 0 <= floor < 100:
        return 1.0
    covariance = covariance[np.ix_(measured, measured)]
    shares = np.clip(scores[measured] / 100, 0, 1)
    errors = np.sqrt(np.maximum(0.0, np.diag(covariance))) / 100
    sizes = effective_size(shares, errors, pictures)
    tail = min(
        binomial_upper_tail(share * size, size, floor / 100)
        for share, size in zip(shares.tolist(), sizes.tolist(), strict=True)
    )
    if tail >= 1 or tail <= 1e-12:
        return tail
    values, vectors = np.linalg.eigh(correlation(covariance))
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(measured)))
    largest = np.max(normal @ spread.T, axis=1)
    return max(tail, float(np.mean(largest >= NORMAL.inv_cdf(1 - tail))))
