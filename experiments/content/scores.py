"""From answers to scores: one number for every seed, model and concept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.content.answers import Results, betas_of, merge_name


@dataclass(frozen=True, eq=False)
class Scores:
    """How often each concept is answered right, on one split.

    values    side -> (seeds, models, concepts of the side): chance-corrected, 0 for a guesser and
              100 for one that is always right
    concepts  side -> (concepts of the side,) their places in the gallery
    """

    models: tuple[str, ...]
    chance: float
    values: dict[str, NDArray[np.float64]]
    concepts: dict[str, NDArray[np.uint16]]

    @property
    def betas(self) -> tuple[float, ...]:
        """The betas of the merges, ascending from 0."""
        return betas_of(self.models)

    def of(self, side: str, model: str) -> NDArray[np.float64]:
        """(seeds, concepts) of one model."""
        return self.values[side][:, self.models.index(model)]

    def grid(self, side: str) -> NDArray[np.float64]:
        """(seeds, betas, concepts) of the merges."""
        return self.values[side][:, [self.models.index(merge_name(beta)) for beta in self.betas]]

    def raw(self, corrected: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Scores as shares in per cent, chance not taken out."""
        return np.asarray(corrected) * (1 - self.chance) + 100 * self.chance


def scores_of(results: Results, *, test: bool) -> Scores:
    """The scores on test, or on validation."""
    first = results.seeds[0].answers
    sides = np.array([candidate.side for candidate in results.gallery])
    chosen = first.is_test == test
    question = first.question[chosen]
    right = np.stack([seed.answers.answer[:, chosen] == question for seed in results.seeds])
    corrected = 100 * (right - results.chance) / (1 - results.chance)
    # The negative control may be asked on test alone.
    asked = {
        side: np.unique(question[sides[question] == side])
        for side in dict.fromkeys(sides[question].tolist())
    }
    values = {
        side: np.stack(
            [corrected[..., question == concept].mean(axis=-1) for concept in concepts], axis=-1
        )
        for side, concepts in asked.items()
    }
    return Scores(first.models, results.chance, values, asked)


def grp(
    alpha: float, others: NDArray[np.float64], regional: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Global-Regional Parity; outside the region counts as global."""
    return np.asarray(alpha * others + (1 - alpha) * regional)
