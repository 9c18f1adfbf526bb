"""Which tasks are above chance at some beta, corrected for the number of betas."""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.parity.screening import LEVEL, guessing_probability, state_of

BETAS = 13


def guesses(random: np.random.Generator, pictures: int, chance: float, change: float) -> np.ndarray:
    """Right answers (C, B) of a guesser who guesses anew at the next beta with `change`."""
    found = np.empty((pictures, BETAS), bool)
    found[:, 0] = random.random(pictures) < chance
    for b in range(1, BETAS):
        anew = random.random(pictures) < change
        found[:, b] = np.where(anew, random.random(pictures) < chance, found[:, b - 1])
    return found


def screened(right: np.ndarray, floor: float):
    values = 100.0 * right
    return guessing_probability(
        values.mean(axis=0), np.cov(values.T) / len(right), floor, len(right)
    )


@pytest.mark.parametrize("chance", [1 / 184, 0.25])
def test_a_guesser_seldom_passes(chance):
    """At most 2.5 % of 150 may, so 9 or more are out of the question (p < .02)."""
    random = np.random.default_rng(1)
    passed = uncorrected = 0
    for _ in range(150):
        right = guesses(random, 184, chance, 1.0)
        passed += screened(right, 100 * chance) < LEVEL
        score, error = right.mean(axis=0), right.std(axis=0, ddof=1) / np.sqrt(184)
        uncorrected += bool(np.any(score - 1.96 * error > chance))
    assert passed < 9
    if chance == 0.25:
        assert uncorrected > 20


def test_betas_that_say_the_same_are_not_corrected_for_twice():
    right = np.repeat(np.arange(184)[:, None] < 61, BETAS, axis=1)
    values = 100.0 * right
    scores, covariance = values.mean(axis=0), np.cov(values.T) / 184
    once = guessing_probability(scores[:1], covariance[:1, :1], 25.0, 184)
    alike = guessing_probability(scores, covariance, 25.0, 184)
    apart = guessing_probability(scores, np.diag(np.diag(covariance)), 25.0, 184)
    assert alike == pytest.approx(once, abs=0.003)
    assert apart > 3 * alike
    assert alike < LEVEL < apart


def test_one_beta_above_is_enough_and_one_below_is_not():
    random = np.random.default_rng(2)
    right = guesses(random, 400, 0.25, 1.0)
    right[:, 5] = random.random(400) < 0.5
    assert screened(right, 25.0) < LEVEL
    right[:, 5] = random.random(400) < 0.08
    assert screened(right, 25.0) > LEVEL


def test_answers_to_one_picture_count_for_what_they_are_worth():
    scores, floor = np.array([34.0]), 25.0
    independent = guessing_probability(scores, np.array([[34 * 66 / 800]]), floor, 200)
    alike = guessing_probability(scores, np.array([[34 * 66 / 200]]), floor, 200)
    assert independent < 1e-6 < alike


@pytest.mark.parametrize(
    ("scores", "pictures"), [([np.nan, np.nan], 100), ([50.0, 60.0], 1), ([50.0, 60.0], 0)]
)
def test_what_was_not_measured_is_at_chance(scores, pictures):
    found = guessing_probability(np.array(scores), np.eye(2), 25.0, pictures)
    assert found == 1


def test_no_answer_right_at_any_beta_is_not_above_chance():
    found = guessing_probability(np.zeros(3), np.zeros((3, 3)), 0.07, 200)
    assert found > LEVEL


def test_the_state_of_one_score():
    assert state_of(30, 40, 25) == "above chance"
    assert state_of(20, 30, 25) == "at chance"
    assert state_of(10, 20, 25) == "below chance"
