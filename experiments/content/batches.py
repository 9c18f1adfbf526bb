"""Which concepts a training step sees."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray


def shuffled(
    rows: Sequence[int], size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Batches of `size` different rows, without end; every row comes before any comes twice.

    Where `size` does not divide the rows, the rest of a round is left out.
    """
    while True:
        order = rng.permutation(np.asarray(rows, np.int64))
        for start in range(0, len(order) - size + 1, size):
            yield order[start : start + size]


def mixed(
    first: Sequence[int], second: Sequence[int], size: int, rng: np.random.Generator
) -> Iterator[NDArray[np.int64]]:
    """Batches half of which are rows of `first` and half of `second`."""
    halves = shuffled(first, size // 2, rng), shuffled(second, size // 2, rng)
    for one, other in zip(*halves, strict=True):
        yield np.concatenate([one, other])
