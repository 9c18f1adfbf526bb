"""Bootstrap over pictures: questions about one picture are drawn together.

A draw takes C pictures of C with replacement. The stream of numbers is that of numpy's RandomState
(MT19937), which numpy keeps as it is: a seed gives the same draws with every version.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

DRAWS = 2000
SEED = 0


@dataclass(frozen=True, eq=False)
class Draws:
    """Which pictures were drawn, and how often.

    numbers  picture -> column
    counts   (draws, pictures) float64; every row sums to the number of pictures
    """

    numbers: dict[str, int]
    counts: NDArray[np.float64]

    def means(self, pictures: Sequence[str], values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The mean of `values` (n,), each about one of `pictures`, in every draw: (draws,).

        NaN where a draw holds none of them.
        """
        rows = np.fromiter((self.numbers[p] for p in pictures), np.intp, len(pictures))
        size = len(self.numbers)
        total = self.counts @ np.bincount(rows, values, size)
        asked = self.counts @ np.bincount(rows, minlength=size).astype(np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(total / asked)


def draw(pictures: Sequence[str], draws: int = DRAWS, seed: int = SEED) -> Draws:
    """Draw from the different `pictures`, in the order of their ids."""
    return _draw(tuple(sorted(set(pictures))), draws, seed)


@lru_cache(maxsize=4)  # the tasks of a suite ask about the same pictures, at every beta
def _draw(names: tuple[str, ...], draws: int, seed: int) -> Draws:
    size = len(names)
    stream = np.random.RandomState(seed)
    picked = stream.randint(0, size, size=(draws, size)) + size * np.arange(draws)[:, None]
    counts = np.bincount(picked.ravel(), minlength=draws * size).reshape(draws, size)
    return Draws({name: number for number, name in enumerate(names)}, counts.astype(np.float64))
