"""Scores, checked by hand and against published values."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.scores import (
    NotComparable,
    Sides,
    mean,
    mean_difference,
    parity,
    parity_difference,
    score_of,
)
from ggez_hub.parity.intervals import quantile
from ggez_hub.parity.score_intervals import Share, share_limits, wilson
from tests.evaluation.conftest import outcomes


def limits(successes, n, z):
    """Wilson's limits in per cent."""
    return tuple(100 * end for end in share_limits(Share(np.array(successes / n), np.array(n)), z))


@pytest.mark.parametrize(
    ("successes", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_wilson_against_published_values(successes, n, low, high):
    assert wilson(successes, n) == pytest.approx((low, high), abs=5e-5)


def test_a_score_by_hand():
    score = score_of(outcomes([1, 1, 1, 0], chance=0.25))
    assert (score.score, score.n, score.floor) == (75, 4, 25)
    assert score.se == pytest.approx(100 * math.sqrt(0.75 * 0.25 / 4))
    assert score.normalised == pytest.approx(200 / 3)
    assert (score.low, score.high) == pytest.approx(limits(3, 4, quantile(4)))
    assert score.at_chance == (score.low <= 25)


@pytest.mark.parametrize(
    ("successes", "at_chance"), [(0, False), (25, True), (31, True), (40, False)]
)
def test_at_chance_is_an_interval_that_includes_the_floor(successes, at_chance):
    score = score_of(outcomes([True] * successes + [False] * (100 - successes)))
    assert score.at_chance is at_chance


def test_parts_that_are_right_are_averaged():
    credit = np.array([1, 0.5, 0.25, 0])
    partly = replace(outcomes(credit == 1, chance=0), credit=credit)
    score = score_of(partly)
    assert (score.score, score.floor) == (43.75, 0)
    assert score.se == pytest.approx(100 * credit.std(ddof=1) / 2)
    assert 0 <= score.low < score.score < score.high <= 100
    assert not score.at_chance
    found = mean([partly])
    assert (found.value, found.se) == pytest.approx((score.score, score.se))
    half = partly.where(np.array([False, True, True, False]))
    assert score_of(half).score == 37.5
    assert half.joined(outcomes([1], items=("x",))).values.tolist() == [0.5, 0.25, 1]


def test_no_items_no_score():
    with pytest.raises(GgezError, match="at least one item"):
        score_of(outcomes([]))


def test_a_mean_over_tasks_weighs_tasks_not_items():
    a, b = outcomes([1, 0, 0, 0]), outcomes([1, 1], items=("x", "y"))
    assert mean([a, b]).value == pytest.approx((25 + 100) / 2)


def test_one_task_has_the_plain_standard_error():
    correct = [1] * 30 + [0] * 70
    found = mean([outcomes(correct)])
    assert found.value == pytest.approx(30)
    assert found.se == pytest.approx(100 * np.std(correct, ddof=1) / 10)
    score = score_of(outcomes(correct))
    assert (found.low, found.high) == pytest.approx((score.low, score.high))


def test_a_task_asked_twice_tells_nothing_new():
    a = outcomes([1] * 30 + [0] * 70)
    again = mean([a, a])
    assert again.se == pytest.approx(mean([a]).se)
    # Taken for independent pictures it would look more certain than it is.
    other = outcomes(a.correct, items=[f"o{row}" for row in range(100)])
    assert mean([a, other]).se == pytest.approx(mean([a]).se / math.sqrt(2), rel=1e-2)


def test_a_paired_difference_is_mcnemar():
    """10 items won, 4 lost, 86 alike: difference 6, se^2 = (14 - 36/100) / (100 * 99)."""
    first = outcomes([1] * 10 + [0] * 4 + [1] * 40 + [0] * 46)
    second = outcomes([0] * 10 + [1] * 4 + [1] * 40 + [0] * 46)
    found = mean_difference([first], [second])
    assert found.value == pytest.approx(6)
    assert found.se == pytest.approx(100 * math.sqrt((14 - 0.36) / (100 * 99)))
    assert not found.excludes_zero
    # The same margins without pairs would be far wider.
    assert found.se < math.hypot(mean([first]).se, mean([second]).se)
    assert mean_difference([second], [first]).value == pytest.approx(-6)


def test_parity_by_hand():
    world, region = outcomes([1, 1, 1, 0]), outcomes([1, 0, 0, 0], chance=0.1)
    found = parity(Sides((world,), (region,)), alpha=0.4)
    assert found.value == pytest.approx(0.4 * 100 * 0.5 / 0.75 + 0.6 * 100 * 0.15 / 0.9)
    assert found.pictures == 4


def test_parity_agrees_with_a_bootstrap_over_pictures():
    random = np.random.default_rng(0)
    easy = random.random(300)
    world, region = (outcomes(random.random(300) < easy, chance=0.01) for _ in range(2))
    alpha = 0.374
    draws = random.integers(0, 300, size=(4000, 300))

    def corrected(task):
        return 100 * (task.correct[draws].mean(axis=1) - 0.01) / 0.99

    spread = (alpha * corrected(world) + (1 - alpha) * corrected(region)).std()
    assert parity(Sides((world,), (region,)), alpha).se == pytest.approx(spread, rel=0.05)


def test_a_difference_of_parities_is_paired():
    random = np.random.default_rng(1)
    correct = random.random((4, 200)) < 0.5
    first = Sides((outcomes(correct[0]),), (outcomes(correct[1]),))
    second = Sides((outcomes(correct[2]),), (outcomes(correct[3]),))
    found = parity_difference(first, second, 0.4)
    assert found.value == pytest.approx(parity(first, 0.4).value - parity(second, 0.4).value)
    nothing = parity_difference(first, first, 0.4)
    assert (nothing.value, nothing.se) == (0, 0)


def test_only_the_same_questions_are_compared():
    a = outcomes([1, 0])
    with pytest.raises(NotComparable, match="does not ask the same questions"):
        mean_difference([a], [outcomes([1, 0], items=("x", "y"))])
    with pytest.raises(NotComparable, match="does not ask the same questions"):
        mean_difference([a], [outcomes([1, 0], chance=0.5)])
    with pytest.raises(NotComparable, match="1 task cannot be compared with 2"):
        mean_difference([a], [a, a])
    with pytest.raises(NotComparable, match="at least one task of each side"):
        parity(Sides((a,), ()), 0.4)
    with pytest.raises(NotComparable, match="at least two pictures"):
        mean([outcomes([1])])


def test_questions_about_one_picture_are_drawn_together():
    """515 pictures with four questions each, alike within a picture: as if there were 515."""
    random = np.random.default_rng(3)
    right = np.repeat(random.random(515) < 0.6, 4)
    pictures = np.repeat([f"p{n}" for n in range(515)], 4).tolist()
    score = score_of(outcomes(right, images=pictures))
    assert (score.n, score.pictures) == (2060, 515)
    low, high = wilson(int(right.sum()) // 4, 515)
    assert (score.low, score.high) == pytest.approx((100 * low, 100 * high), abs=0.5)
    assert score.se == pytest.approx(100 * np.std(right, ddof=1) / math.sqrt(515), rel=1e-2)
    # Taken for different pictures the same answers would look twice as certain.
    alone = score_of(outcomes(right))
    assert score.se == pytest.approx(2 * alone.se, rel=1e-2)
    assert score_of(outcomes(right, images=pictures)) == score


def test_a_cluster_interval_where_nothing_varies():
    all_right = score_of(outcomes([1] * 40, images=[f"p{n // 4}" for n in range(40)]))
    assert (all_right.low, all_right.high) == pytest.approx(limits(10, 10, quantile(10)))
    one_picture = score_of(outcomes([1, 0], images=["p", "p"]))
    assert (one_picture.low, one_picture.high) == (0, 100)


def drawn(shares, seeds=5):
    """Drawings of prompts, some seeds each, of which so many are right."""
    right = [seed < share for share in shares for seed in range(seeds)]
    return outcomes(right, images=[f"p{n // seeds}" for n in range(len(right))])


def test_the_interval_of_a_share_stays_within_its_bounds():
    few = drawn([2, 1] + [0] * 14)
    one, score = mean([few]), score_of(few)
    assert one.value - 1.96 * one.se < 0
    assert (one.value, one.low, one.high) == pytest.approx((score.score, score.low, score.high))
    several = mean([few, drawn([5] + [0] * 15)])
    many = mean([drawn([5] * 15 + [4]), drawn([5] * 15 + [3])])
    for found in (one, several, many):
        assert 0 <= found.low < found.value < found.high <= 100


def test_the_interval_of_shares_where_nothing_varies():
    none = mean([drawn([0] * 16), drawn([0] * 16)])
    assert (none.low, none.high) == pytest.approx(limits(0, 16, quantile(16)))


def test_the_interval_of_shares_that_vary_much_is_the_plain_one():
    random = np.random.default_rng(5)
    found = mean([drawn(random.integers(0, 6, 400)) for _ in range(2)])
    plain = (found.value - 1.96 * found.se, found.value + 1.96 * found.se)
    assert (found.low, found.high) == pytest.approx(plain, abs=0.3)


def test_a_difference_of_which_nothing_changed_is_not_certain():
    few = outcomes([1] * 20 + [0] * 180)
    found = mean_difference([few], [few])
    assert (found.value, found.se) == (0, 0)
    assert found.low == pytest.approx(-found.high)
    assert 1.5 < found.high < 2.5
