"""The control of models that draw: their own drawings, with the prompts shuffled."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np

from ggez_hub.evaluation.outcomes import Outcomes


def shuffled(outcomes: Outcomes) -> Outcomes:
    """The control: the same drawings, each held to be for another prompt of the task.

    With a fixed seed; a prompt's drawing with seed s takes the place of another's with seed s, as if
    the prompts had been shuffled before they were drawn.
    """
    names = sorted(set(outcomes.gold))
    order = names[:]
    # A shuffle in one cycle: no prompt keeps its place.
    random.Random(0).shuffle(order)  # noqa: S311 - a control, not a secret
    stands_for = dict(zip(order, order[1:] + order[:1], strict=True))
    given = dict(zip(outcomes.items, outcomes.predicted, strict=True))
    predicted = tuple(
        given[f"{stands_for[gold]}/{item.rpartition('/')[2]}"]
        for item, gold in zip(outcomes.items, outcomes.gold, strict=True)
    )
    correct = np.array([a == b for a, b in zip(predicted, outcomes.gold, strict=True)])
    rank = np.where(correct, 1, 2).astype(np.int32)
    return replace(outcomes, predicted=predicted, correct=correct, rank=rank)
