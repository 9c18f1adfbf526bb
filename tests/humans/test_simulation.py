"""Simulated raters: their values have the means that follow from the model."""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.humans.assignment import queue
from ggez_hub.humans.simulation import (
    Sets,
    Spread,
    draw_values,
    points_of,
    sets_of,
)
from ggez_hub.parity.score_intervals import NORMAL

from .studies import study_of

GROUPS = {("global", "en"): 2, ("regional", "th"): 3}


def test_sets_are_those_of_the_queues():
    study = study_of("rank", models=4, items=9, gold=3)
    study = study.model_copy(update={"design": study.design.model_copy(update={"outputs": 3})})
    sets = sets_of(study, GROUPS)
    own = [
        (side, s.item, s.models)
        for (side, tag), count in GROUPS.items()
        for number in range(count)
        for s in queue(study, side, tag, number)
        if not (s.gold or s.occurrence)
    ]
    assert own == [
        (("global", "regional")[side], study.items[item].id, tuple(f"m{m}" for m in models))
        for side, item, models in zip(sets.sides, sets.items, sets.models.tolist(), strict=True)
    ]
    assert len(set(sets.raters.tolist())) == 5


@pytest.mark.parametrize("design", ["likert", "pairs", "rank"])
def test_values_have_the_means_that_follow_from_quality(design):
    found = study_of(design).design
    n, spread = 40_000, Spread()
    each, models = np.arange(n), np.tile(np.arange(found.outputs), (n, 1))
    quality = np.array([0.0, 0.6, -0.6])[: max(found.outputs, 1)]
    sets = Sets(each, each % 2, each, models)
    values = draw_values(sets, found, quality, spread, np.random.default_rng(1))
    if design == "likert":
        at_least = [1 - NORMAL.cdf(NORMAL.inv_cdf(cut / 3) / spread.total) for cut in (1, 2)]
        assert values.mean() == pytest.approx(1 + sum(at_least), abs=0.01)
    else:
        # What all outputs of a set share together does not depend on who is better.
        assert np.allclose(values.sum(axis=1), {"pairs": 1, "rank": 6}[design])
        points = points_of(found, values).mean(axis=0)
        assert points[1] - points[0] > 10
    if design == "rank":
        assert points[0] - points[2] == pytest.approx(points[1] - points[0], abs=1.5)
