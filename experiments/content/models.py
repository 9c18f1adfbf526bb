"""The models that are compared, each as the scores of every seed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.content.answers import Results, merge_name
from experiments.content.choice import POLICIES, choose_beta
from experiments.content.scores import Scores, scores_of

SIDES = ("others", "regional")
BASE, ADAPTER = merge_name(0), merge_name(1)
SWITCH = "switch by prompt language (no cue: the base for every prompt)"
ORACLE = "switch by label (upper bound)"


@dataclass(frozen=True, eq=False)
class Compared:
    """A model's test scores.

    betas   of each seed; empty where the model is not a merge
    values  side -> (seeds, concepts), chance-corrected
    """

    name: str
    betas: tuple[float, ...]
    values: dict[str, NDArray[np.float64]]

    def means(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """(seeds,) Q_others and Q_regional."""
        others, regional = (self.values[side].mean(axis=-1) for side in SIDES)
        return others, regional


@dataclass(frozen=True, eq=False)
class Comparison:
    """All models of a family for one alpha; `undetermined` are the seeds where keep has no answer."""

    alpha: float
    models: tuple[Compared, ...]
    undetermined: tuple[int, ...]

    def of(self, name: str) -> Compared | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)


def compare(results: Results, alpha: float) -> Comparison:
    """The models of a family; beta is chosen on validation, and the scores are of test."""
    test = scores_of(results, test=True)
    chosen = _choices(scores_of(results, test=False), alpha)
    undetermined = tuple(
        seed.number
        for seed, place in zip(results.seeds, chosen["keep"], strict=True)
        if place is None
    )
    return Comparison(alpha, tuple(_models(test, chosen)), undetermined)


def _choices(validation: Scores, alpha: float) -> dict[str, list[int | None]]:
    """Policy -> the place of the beta of each seed."""
    others, regional = (validation.grid(side) for side in SIDES)
    return {
        policy: [
            choose_beta(policy, alpha, validation.betas, outside, inside)
            for outside, inside in zip(others, regional, strict=True)
        ]
        for policy in POLICIES
    }


def _models(test: Scores, chosen: dict[str, list[int | None]]) -> Iterator[Compared]:
    def same(name: str, model: str) -> Compared:
        return Compared(name, (), {side: test.of(side, model) for side in SIDES})

    yield same("base", BASE)
    for policy, found in chosen.items():
        places = [place for place in found if place is not None]
        if len(places) == len(found):
            yield Compared(
                f"merge, {policy}",
                tuple(test.betas[place] for place in places),
                {side: test.grid(side)[np.arange(len(places)), places] for side in SIDES},
            )
    yield same("adapter", ADAPTER)
    # Every prompt is English: nothing in it says that the adapter should answer.
    yield same(SWITCH, BASE)
    if "average" in test.models:
        yield same("averaged outputs", "average")
    yield same("joint fine-tune", "joint")
    yield Compared(
        ORACLE, (), {"others": test.of("others", BASE), "regional": test.of("regional", ADAPTER)}
    )
