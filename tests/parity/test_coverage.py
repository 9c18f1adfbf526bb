"""Intervals hold the truth as often as they say, where older methods do not.

`python -m benchmarks coverage` has all settings; here are those in which a wrong method is caught with
2,000 redraws: their Monte Carlo error at 95 % is half a point.
"""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.parity.intervals import quantile
from ggez_hub.parity.score_intervals import change_of, share_limits, share_of, sum_limits

REDRAWS = 2000
QUESTIONS = 4


def clustered(random: np.random.Generator, share: float, pictures: int, alike: float) -> np.ndarray:
    """Scores (R, C) of pictures with four questions: all answered alike, or each by itself."""
    together = random.random((REDRAWS, pictures)) < alike
    same = (random.random((REDRAWS, pictures)) < share).astype(float)
    apart = random.binomial(QUESTIONS, share, (REDRAWS, pictures)) / QUESTIONS
    return np.where(together, same, apart)


def error(values: np.ndarray) -> np.ndarray:
    return values.std(axis=1, ddof=1) / np.sqrt(values.shape[1])


def covered(limits, truth: float) -> float:
    low, high = limits
    return 100 * float(np.mean((low - 1e-9 <= truth) & (truth <= high + 1e-9)))


@pytest.mark.parametrize("share", [0.03, 0.5, 0.97])
@pytest.mark.parametrize("pictures", [64, 184])
def test_scores_of_answers_that_share_pictures(share, pictures):
    values = clustered(np.random.default_rng(0), share, pictures, alike=0.4)
    mean = values.mean(axis=1)
    found = share_limits(share_of(mean, error(values), pictures), quantile(pictures))
    assert 93 <= covered(found, share) <= 98.5
    if share != 0.5 and pictures == 64:
        half = 1.96 * error(values)
        assert covered((mean - half, mean + half), share) < 92


def test_the_percentile_bootstrap_would_be_caught():
    random = np.random.default_rng(1)
    values = clustered(random, 0.03, 64, alike=0.4)[:300]
    draws = random.multinomial(64, np.full(64, 1 / 64), size=400) / 64
    means = values @ draws.T
    assert covered(np.percentile(means, [2.5, 97.5], axis=1), 0.03) < 92


@pytest.mark.parametrize(("shares", "alpha"), [((0.97, 0.97), 0.43), ((0.76, 0.03), 0.37)])
def test_grp_of_two_sides_on_the_same_pictures(shares, alpha):
    random, pictures = np.random.default_rng(2), 184
    hard = random.random((REDRAWS, pictures))
    mixed = np.where(random.random((REDRAWS, pictures)) < 0.5, hard, random.random(hard.shape))
    sides = [(hard < shares[0]).astype(float), (mixed < shares[1]).astype(float)]
    terms = [share_of(v.mean(axis=1), error(v), pictures) for v in sides]
    first, second = (v - v.mean(axis=1, keepdims=True) for v in sides)
    both = np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
    together = (first * second).sum(axis=1) / np.where(both > 0, both, 1.0)
    correlation = np.ones((REDRAWS, 2, 2))
    correlation[:, 0, 1] = correlation[:, 1, 0] = together
    weights = [alpha, 1 - alpha]
    truth = alpha * shares[0] + (1 - alpha) * shares[1]
    found = covered(sum_limits(weights, terms, correlation, quantile(pictures)), truth)
    assert 93 <= found <= 97
    # As if the sides were of different pictures.
    correlation[:, 0, 1] = correlation[:, 1, 0] = 0
    apart = covered(sum_limits(weights, terms, correlation, quantile(pictures)), truth)
    assert apart < found


@pytest.mark.parametrize(("lost", "gained"), [(0.02, 0.0), (0.01, 0.01), (0.2, 0.05)])
def test_changes_of_which_there_are_few(lost, gained):
    random, pictures = np.random.default_rng(3), 184
    place = random.random((REDRAWS, pictures))
    values = (place > 1 - gained).astype(float) - (place < lost)
    change, se = values.mean(axis=1), error(values)
    changed = np.abs(values).sum(axis=1)
    found = change_of(change, se, changed, pictures)
    limits = sum_limits([1.0], [found], np.ones((1, 1)), quantile(pictures))
    assert 93 <= covered(limits, gained - lost) <= 97.5
    if not gained:
        assert covered((change - 1.96 * se, change + 1.96 * se), -lost) < 92
