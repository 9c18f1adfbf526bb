"""What came out, item by item: the raw material of every score."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Cell(NamedTuple):
    """A place of the grid."""

    beta: float
    task: str
    split: str


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The answers of one model to the n questions of one task and split.

    items      ids of the pictures that the questions are about; unique
    gold       id of the right answer
    predicted  id of the answer given
    rank       (n,) int32: 1 + the wrong candidates that score at least as high as the best right one
    correct    (n,) bool: rank == 1
    chance     (n,) float64 in (0, 1]: the probability that guessing is right
    """

    items: tuple[str, ...]
    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    rank: NDArray[np.int32]
    correct: NDArray[np.bool_]
    chance: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.items)
