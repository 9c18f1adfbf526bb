"""Intervals that know both that other seeds and that other concepts could have been drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

REDRAWS = 4000
LEAST_SEEDS = 5
"""With fewer seeds there is no interval."""


@dataclass(frozen=True, eq=False)
class Redraws:
    """Seeds and, on each side, concepts drawn anew with replacement.

    A redraw takes the same concepts for every seed and model, so differences are paired.

    seeds     (redraws, seeds) the share of each seed in a mean
    concepts  side -> (redraws, concepts)
    """

    seeds: NDArray[np.float64]
    concepts: Mapping[str, NDArray[np.float64]]

    def means(self, side: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """(redraws,): the mean of (seeds, concepts) in every redraw."""
        return np.asarray(((self.concepts[side] @ values.T) * self.seeds).sum(axis=1))


def redraw(values: Mapping[str, NDArray[np.float64]], seed: int = 0) -> Redraws:
    """Redraws for arrays whose first axis are seeds and whose last are concepts."""
    rng = np.random.default_rng(seed)

    def shares(count: int) -> NDArray[np.float64]:
        return rng.multinomial(count, np.full(count, 1 / count), size=REDRAWS) / count

    first = next(iter(values.values()))
    return Redraws(
        shares(first.shape[0]), {side: shares(found.shape[-1]) for side, found in values.items()}
    )


def interval(drawn: NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5th and 97.5th percentile."""
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)
