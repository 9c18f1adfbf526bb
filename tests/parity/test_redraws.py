"""How often a rule takes each beta if the pictures are drawn anew."""

from __future__ import annotations

import numpy as np

from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.parity.policy_outcomes import redraw_means, shares_of_redraws
from tests.parity.samples import moments_of


def made(pictures: int = 400):
    random = np.random.default_rng(0)
    world = random.random((pictures, 1)) < np.array([0.6, 0.55, 0.5])
    region = random.random((pictures, 1)) < np.array([0.3, 0.36, 0.4])
    return moments_of(world, region)


def highest(means):
    return np.argmax(np.round(0.4 * means[:, GLOBAL] + 0.6 * means[:, REGIONAL], 9), axis=1)


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


def test_shares_are_of_the_rule_and_repeat():
    moments = made()
    shares = shares_of_redraws(moments, highest, draws=500)
    assert shares.sum() == 1
    assert shares.argmax() == highest(moments.means[None])[0]
    assert (shares == shares_of_redraws(moments, highest, draws=500)).all()
    assert shares_of_redraws(moments, lambda m: np.full(len(m), 2), draws=10).tolist() == [0, 0, 1]
    assert shares_of_redraws(moments, lambda m: np.full(len(m), -1), draws=10).sum() == 0


def test_more_pictures_make_the_choice_firmer():
    few, many = (shares_of_redraws(made(n), highest, draws=500).max() for n in (60, 2000))
    assert many > few


def test_a_side_without_items_stays_unknown():
    moments = made()
    moments.means[REGIONAL] = np.nan
    drawn = redraw_means(moments, 10)
    assert np.isnan(drawn[:, REGIONAL]).all()
    assert np.isfinite(drawn[:, GLOBAL]).all()
