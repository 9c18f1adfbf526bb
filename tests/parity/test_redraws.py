"""How often a rule takes each beta if the pictures are drawn anew."""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.parity.betas import beta_key
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.parity.policy_outcomes import policy_outcomes, redraw_means
from tests.parity.samples import moments_of


def made(pictures: int = 400):
    random = np.random.default_rng(0)
    world = random.random((pictures, 1)) < np.array([0.6, 0.55, 0.5])
    region = random.random((pictures, 1)) < np.array([0.3, 0.36, 0.4])
    return moments_of(world, region)


def test_redraws_have_the_moments():
    moments = made()
    drawn = redraw_means(moments, 20_000)
    flat = drawn.reshape(len(drawn), -1)
    assert np.allclose(drawn.mean(axis=0), moments.means, atol=0.06)
    assert np.allclose(np.cov(flat.T), moments.covariance.reshape(9, 9), atol=0.2)


def test_betas_with_the_same_answers_stay_the_same():
    right = np.repeat(np.random.default_rng(1).random((200, 1)) < 0.5, 3, axis=1)
    drawn = redraw_means(moments_of(right, right), 200)
    assert np.ptp(drawn, axis=(1, 2)).max() < 1e-9
    assert drawn[:, 0, 0].std() > 3


def choice(pictures):
    """The curve of these answers and what the policy `parity` takes of it."""
    moments = made(pictures)
    curve = ParityCurve((0.0, 0.5, 1.0), moments, "choice_4", "th", "self", (), False, True)
    return curve, policy_outcomes(lambda _: curve, 0.4)[0]


def test_shares_are_of_the_rule_and_repeat():
    curve, found = choice(400)
    assert sum(found.redraws.values()) == pytest.approx(1)
    best = max(range(3), key=lambda place: curve.grp(place, 0.4))
    assert max(found.redraws, key=found.redraws.get) == beta_key(curve.betas[best])
    assert choice(400)[1].redraws == found.redraws


def test_more_pictures_make_the_choice_firmer():
    few, many = (max(choice(n)[1].redraws.values()) for n in (60, 2000))
    assert many > few


def test_a_side_without_items_stays_unknown():
    moments = made()
    moments.means[REGIONAL] = np.nan
    drawn = redraw_means(moments, 10)
    assert np.isnan(drawn[:, REGIONAL]).all()
    assert np.isfinite(drawn[:, GLOBAL]).all()
