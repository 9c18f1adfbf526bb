"""How often the sample sizes of recipes/evaluation.yaml show the difference that they are for.

A picture has one answer of the base and one of a merged model. The answers of a share of the pictures
change, so that the variance of the difference is the recipe's: right to wrong and back, or for drawings, which are
worth the mean of four, by a half. 4,000 redraws of the sample, each judged by the very interval that the gates use.

`python -m benchmarks power` prints for each side of each suite how often a difference is shown: the recipe's, with
the sample and with half of it, and of no difference.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
from numpy.typing import NDArray

from ggez_hub.automation.suite import RECIPE, EvaluationRecipe, SideSample
from ggez_hub.parity.intervals import estimate_side_difference
from ggez_hub.parity.moments import REGIONAL, SIDES, Moments
from ggez_hub.recipe_file import read_recipe, recipes_folder

REDRAWS = 4000
# The score of the base: the power of a paired test does not depend on it.
SCORE = 0.5
Floats = NDArray[np.float64]


@cache
def shown(side: SideSample, difference: float, pictures: int, step: float, seed: int = 0) -> float:
    """The share of redraws in which a difference, in points, is shown to be there, in whichever direction.

    step: by how much a picture's answer changes where it does, 1 of right and wrong answers
    """
    random = np.random.default_rng(seed)
    changed = side.variance / step**2
    up = changed * (1 + difference / 100 / (changed * step)) / 2
    # Of each redraw: the pictures that gain, that lose, and that stay right or wrong.
    stay = (1 - changed) / 2
    shares = [up, changed - up, stay, 1 - changed - stay]
    drawn = random.multinomial(pictures, shares, size=REDRAWS).astype(float)
    # (base, merged) of each of the four kinds.
    low, high = SCORE - step / 2, SCORE + step / 2
    values = np.array([[low, high], [high, low], [high, high], [low, low]])
    found = 0
    for counts in drawn:
        interval = estimate_side_difference(moments_of(values, counts), REGIONAL, 1, 0)
        found += interval.excludes_zero
    return found / REDRAWS


def moments_of(values: Floats, counts: Floats) -> Moments:
    """The moments of two betas on the regional side alone; values (K, 2) of so many pictures (K)."""
    n = counts.sum()
    means = 100 * (counts @ values) / n
    centred = 100 * values - means
    covariance = np.zeros((len(SIDES), 2, len(SIDES), 2))
    covariance[REGIONAL, :, REGIONAL] = (centred.T * counts) @ centred / n / (n - 1)
    scores = np.full((len(SIDES), 2), np.nan)
    scores[REGIONAL] = means
    moved = counts[values[:, 0] != values[:, 1]].sum()
    return Moments(
        means=scores,
        covariance=covariance,
        scores=scores,
        errors=np.sqrt(np.einsum("sbsb->sb", covariance)),
        floors=np.zeros(len(SIDES)),
        pictures=(0, 0, int(n)),
        changed=np.where(np.eye(2) > 0, 0.0, moved)[None].repeat(len(SIDES), 0),
    )


def sides() -> Iterator[tuple[str, str, SideSample]]:
    """The samples of the recipe: family, side, and what the side has to show."""
    recipe = read_recipe(recipes_folder() / RECIPE, "evaluation", EvaluationRecipe)
    for family, suites in recipe.suites.items():
        for suite in suites:
            if suite.sample is not None:
                yield family, "global", suite.sample.world
                yield family, "regional", suite.sample.regional


def main() -> None:
    print("| suite | side | difference | variance | items | shown | with half | no difference |")
    print("|---|---|---|---|---|---|---|---|")
    for family, name, side in sides():
        step = 0.5 if family == "diffusion" else 1.0
        rates = [
            shown(side, difference, items, step)
            for difference, items in (
                (side.difference, side.items),
                (side.difference, side.items // 2),
                (0.0, side.items),
            )
        ]
        columns = " | ".join(f"{100 * rate:.1f} %" for rate in rates)
        print(
            f"| {family} | {name} | {side.difference:g} | {side.variance:g} | {side.items:,} | {columns} |",
            flush=True,
        )
