"""Errors that know which questions share a picture, against drawing the pictures anew."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.evaluation.alpha_range import chosen_at, stretches
from ggez_hub.evaluation.curve import curve_of
from ggez_hub.evaluation.joint import joint_trade
from ggez_hub.evaluation.outcomes import Cell, Details
from ggez_hub.evaluation.selection import trade
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import write

N = 500
ALPHA = 0.4


def answers(shared):
    """Both tasks ask about the same pictures, or about pictures of their own; luck is the picture's."""
    luck = np.random.default_rng(0).random((2, N))
    found = {}
    for split in ("validation", "test"):
        for number, task in enumerate(("world", "thai")):
            for beta, sides in {0.0: (0.8, 0.5), 1.0: (0.75, 0.6)}.items():
                right = luck[0 if shared else number] < sides[number]
                plain = outcomes(right, items=[f"{task}-{row}" for row in range(N)])
                images = [f"{0 if shared else number}-{row}" for row in range(N)]
                found[Cell(beta, task, split)] = replace(
                    plain, details=Details.of(N, images=images)
                )
    return found


@pytest.mark.parametrize("shared", [True, False])
def test_the_error_is_that_of_drawing_the_pictures_anew(shared, tmp_path):
    evidence = write(tmp_path, answers(shared))
    alpha = evidence.header.alpha.value
    alone = trade(curve_of(evidence), "test", alpha, "th", "th")
    joint = joint_trade(evidence, "test")
    stream = np.random.default_rng(1)
    for before, after in zip(alone.points, joint.points, strict=True):
        assert (after.grp, after.grp_raw) == pytest.approx((before.grp, before.grp_raw))
        world, thai = (
            evidence.outcomes[Cell(after.beta, task, "test")].correct for task in ("world", "thai")
        )
        rows = stream.integers(0, N, (4000, N))
        others = rows if shared else stream.integers(0, N, (4000, N))
        drawn = alpha * world[rows].mean(axis=1) + (1 - alpha) * thai[others].mean(axis=1)
        assert after.se == pytest.approx(100 / 0.75 * drawn.std(), rel=0.06)
        assert after.se_at(alpha) == pytest.approx(after.se)
        ratio = after.se / before.se
        assert (ratio > 1.1) if shared else (ratio == pytest.approx(1, abs=0.01))


def test_the_ranges_of_alpha_know_it_too(tmp_path):
    points = joint_trade(write(tmp_path, answers(shared=True)), "test").points
    assert all(p.covariance > 0 for p in points)
    ranges = stretches(points)
    for alpha in np.linspace(0.001, 0.999, 97):
        (stretch,) = (s for s in ranges if s.low < alpha < s.high)
        assert stretch.beta == chosen_at(points, float(alpha))
    plain = tuple(replace(p, covariance=0.0) for p in points)
    assert stretches(plain) != ranges
    assert math.isclose(ranges[-1].high, 1)
