"""Whether a task is above chance at some beta of a grid, corrected for their number.

At each beta the number of right answers is compared with the binomial of guessing, over as many
independent answers as the clustered error is worth. The test of the grid is max-T: the smallest of the
tail probabilities is compared with that of as many normal figures with the correlations of the scores, so
a guesser whose answers are alike at all betas is not corrected for betas that say the same again.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.parity.distributions import NORMAL, beta_cdf, binomial_upper_tail
from ggez_hub.parity.score_intervals import Floats, effective_size

State: TypeAlias = Literal["above chance", "at chance", "below chance"]
# One-sided, as the lower end of a 95 % interval.
LEVEL = 0.025
_DRAWS = 10_000
_SEED = 0


@dataclass(frozen=True)
class Screening:
    """What a task shows over the betas of a grid.

    state   above chance: at some beta; below chance: at none above and at some below; else at chance.
            Only a task that is not above chance leaves the choice of beta
    betas   the state at each beta, by the same corrected bound
    above, below  the corrected probabilities that guessing does as well, or as badly, at some beta
    """

    state: State
    betas: tuple[State, ...]
    above: float
    below: float


def state_of(low: float, high: float, floor: float = 0.0) -> State:
    """The state of one score from its interval, without correction: for a score by itself."""
    if low > floor:
        return "above chance"
    return "below chance" if high < floor else "at chance"


def screen(scores: Floats, covariance: Floats, floor: float, pictures: int) -> Screening:
    """The states of one task.

    scores      (B,) as scored, 0-100; NaN where a beta was not measured
    covariance  (B, B) of the scores, clustered by picture; diagonal where only the errors are known,
                which takes the betas as independent and corrects for all of them
    floor       what guessing scores, 0-100
    """
    measured = np.isfinite(scores)
    betas: list[State] = ["at chance"] * len(scores)
    if pictures < 2 or not measured.any() or not 0 <= floor < 100:
        return Screening("at chance", tuple(betas), 1.0, 1.0)
    share = np.clip(np.where(measured, scores, 0.0) / 100, 0, 1)
    error = np.sqrt(np.maximum(0.0, np.where(measured, np.diag(covariance), 0.0))) / 100
    sizes = effective_size(share, error, pictures)
    chance = floor / 100
    tails = np.array(
        [
            (binomial_upper_tail(p * n, n, chance), _lower_tail(p * n, n, chance))
            if known
            else (1.0, 1.0)
            for p, n, known in zip(share.tolist(), sizes.tolist(), measured, strict=True)
        ]
    )
    highest = _largest_normals(covariance, measured)
    corrected = np.array([[_corrected(p, highest) for p in row] for row in tails.tolist()])
    for b, (above, below) in enumerate(corrected.tolist()):
        if above < LEVEL:
            betas[b] = "above chance"
        elif below < LEVEL:
            betas[b] = "below chance"
    state: State = "at chance"
    if "above chance" in betas:
        state = "above chance"
    elif "below chance" in betas:
        state = "below chance"
    return Screening(state, tuple(betas), *map(float, corrected.min(axis=0)))


def _lower_tail(successes: float, n: float, chance: float) -> float:
    """P(X <= successes), through the tails of the integers."""
    if chance <= 0 or successes >= n:
        return 1.0
    return 1 - beta_cdf(chance, successes + 1, n - successes)


def _largest_normals(covariance: Floats, measured: NDArray[np.bool_]) -> Floats:
    """Sorted draws of the largest of normal figures with the correlations of the measured scores.

    A score that does not vary, with no or every answer right, is taken as independent.
    """
    rows = np.flatnonzero(measured)
    part = covariance[np.ix_(rows, rows)]
    errors = np.sqrt(np.maximum(0.0, np.diag(part)))
    both = np.outer(errors, errors)
    correlation = np.clip(np.where(both > 0, part / np.where(both > 0, both, 1.0), 0.0), -1, 1)
    np.fill_diagonal(correlation, 1.0)
    values, vectors = np.linalg.eigh(correlation)
    spread = vectors * np.sqrt(np.maximum(values, 0.0))
    normal = np.random.default_rng(_SEED).standard_normal((_DRAWS, len(rows)))
    return np.asarray(np.sort(np.max(normal @ spread.T, axis=1)))


def _corrected(probability: float, highest: Floats) -> float:
    """How often the largest figure is so far out, or `probability` where no draw is."""
    if probability >= 1:
        return 1.0
    if probability <= 1e-12:
        return probability
    position = NORMAL.inv_cdf(1 - probability)
    beyond = len(highest) - int(np.searchsorted(highest, position))
    return max(probability, beyond / len(highest))
