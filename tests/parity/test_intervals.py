"""Intervals of parity: identities, published values, hostile input."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from ggez_hub.parity.intervals import (
    estimate,
    estimate_grp,
    estimate_grp_difference,
    estimate_score,
    estimate_share,
    estimate_side,
    estimate_side_difference,
    estimate_surplus,
)
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL, count_changes
from ggez_hub.parity.score_intervals import (
    binomial_upper_tail,
    change_of,
    share_limits,
    share_of,
    sum_limits,
    t_quantile,
)
from tests.parity.samples import moments_of

Z = 1.959963984540054


def answers(seed: int = 0, pictures: int = 300, shares=(0.6, 0.55), regional=(0.3, 0.5)):
    """Moments of two betas whose answers to a picture are alike."""
    random = np.random.default_rng(seed)
    hard = random.random((pictures, 1))
    return moments_of(hard < np.array(shares), (hard + random.random((pictures, 1))) % 1 < regional)


@pytest.mark.parametrize(
    ("right", "n", "low", "high"),
    [
        # Newcombe, Statistics in Medicine 17 (1998), table I, method 3.
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0, 0.1611),
        (1, 29, 0.0061, 0.1718),
        (29, 29, 0.8830, 1.0),
    ],
)
def test_one_question_a_picture_is_wilson(right, n, low, high):
    share = right / n
    se = math.sqrt(share * (1 - share) / (n - 1))
    found = share_of(np.array(share), np.array(se), n)
    assert [float(end) for end in share_limits(found, Z)] == pytest.approx([low, high], abs=5e-5)
    alone = sum_limits([1.0], [found], np.ones((1, 1)), Z)
    assert [float(end) for end in alone] == pytest.approx([low, high], abs=5e-5)


@pytest.mark.parametrize(("gained", "lost", "n"), [(0, 1, 44), (3, 0, 64), (12, 5, 80), (0, 0, 50)])
def test_a_change_is_tested_with_the_likeliest_shares(gained, lost, n):
    """At a limit the score statistic is z, with gains and losses that make the data likeliest."""
    change, changed = (gained - lost) / n, gained + lost
    se = math.sqrt((changed - n * change**2) / (n * (n - 1)))
    found = change_of(np.array(change), np.array(se), np.array(float(changed)), n)
    limits = sum_limits([1.0], [found], np.ones((1, 1)), Z)
    for limit in map(float, limits):
        losses = np.linspace(max(0, -limit), (1 - limit) / 2, 200_001)[1:-1]
        gains = losses + limit
        likelihood = (n - changed) * np.log(1 - losses - gains)
        likelihood += gained * np.log(gains) + lost * np.log(losses)
        best = int(np.argmax(likelihood))
        variance = n * (gains[best] + losses[best] - limit**2)
        assert abs(gained - lost - n * limit) / math.sqrt(variance) == pytest.approx(Z, rel=2e-3)


def test_a_side_is_grp_at_the_ends_of_alpha():
    moments = answers()
    assert estimate_grp(moments, 1.0, 1) == estimate_side(moments, GLOBAL, 1)
    assert estimate_grp(moments, 0.0, 1) == estimate_side(moments, REGIONAL, 1)
    assert estimate_grp_difference(moments, 1.0, 1, 0) == estimate_side_difference(
        moments, GLOBAL, 1, 0
    )


def test_without_chance_a_side_is_its_score():
    moments = answers()
    side, score = estimate_side(moments, GLOBAL, 0), estimate_score(moments, GLOBAL, 0)
    assert (side.value, side.se, side.low, side.high) == pytest.approx(
        (score.value, score.se, score.low, score.high)
    )


def test_a_floor_stretches_a_side():
    random = np.random.default_rng(1)
    right = random.random((200, 1)) < 0.7
    plain, lifted = moments_of(right, right), moments_of(right, right, (0.25, 0.25))
    expected = estimate_side(plain, GLOBAL, 0)
    found = estimate_side(lifted, GLOBAL, 0)
    assert (found.low, found.high) == pytest.approx(
        tuple(100 * (end - 25) / 75 for end in (expected.low, expected.high))
    )


def test_sides_with_the_same_answers_are_one_side():
    random = np.random.default_rng(2)
    right = random.random((200, 2)) < 0.4
    moments = moments_of(right, right)
    grp, side = estimate_grp(moments, 0.37, 0), estimate_side(moments, GLOBAL, 0)
    assert (grp.low, grp.high) == pytest.approx((side.low, side.high))
    change = estimate_grp_difference(moments, 0.37, 1, 0)
    one = estimate_side_difference(moments, GLOBAL, 1, 0)
    assert (change.low, change.high) == pytest.approx((one.low, one.high))


def test_a_difference_turned_round_is_its_mirror():
    moments = answers(3)
    there = estimate_grp_difference(moments, 0.4, 1, 0)
    back = estimate_grp_difference(moments, 0.4, 0, 1)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low)
    )


def test_pairs_know_what_single_scores_do_not():
    moments = answers(4)
    paired = estimate_side_difference(moments, GLOBAL, 1, 0)
    apart = [estimate_side(moments, GLOBAL, b) for b in (0, 1)]
    assert paired.high - paired.low < 0.6 * math.hypot(*(i.high - i.low for i in apart))


def test_the_surplus_of_the_base_is_what_may_be_lost():
    moments = answers()
    base, found = estimate_side(moments, OTHERS, 0), estimate_surplus(moments, 0, kept=0.98, base=0)
    assert found.value == pytest.approx(0.02 * base.value)
    assert (found.low, found.high) == pytest.approx((0.02 * base.low, 0.02 * base.high))
    worse = estimate_surplus(moments, 1, kept=0.98, base=0)
    assert worse.value == pytest.approx(moments.means[1, 1] - 0.98 * moments.means[1, 0])
    assert estimate_surplus(moments, 1, kept=0.9, base=0).low > worse.low


def test_that_nothing_changed_does_not_show_that_nothing_will():
    right = np.repeat(np.random.default_rng(5).random((400, 1)) < 0.5, 2, axis=1)
    found = estimate_side_difference(moments_of(right, right), GLOBAL, 1, 0)
    assert (found.value, found.se) == (0, 0)
    # The rule of three, with z^2 in the place of 3.
    assert (found.low, found.high) == pytest.approx((-0.957, 0.957), abs=0.01)
    assert found.is_decided


def test_a_beta_less_itself_is_nothing():
    found = estimate_grp_difference(answers(), 0.4, 1, 1)
    assert (found.value, found.low, found.high, found.is_decided) == (0, 0, 0, True)


def test_no_answer_right_is_not_certainty():
    found = estimate_share(0.0, 0.0, 64)
    assert (found.low, found.high) == pytest.approx((0, 5.87), abs=0.01)
    assert estimate_share(100.0, 0.0, 64).low == pytest.approx(100 - found.high)


def test_intervals_are_ordered_and_within_bounds():
    random = np.random.default_rng(6)
    for _ in range(50):
        pictures = int(random.integers(2, 60))
        shares = random.random(2) ** 3
        moments = moments_of(
            random.random((pictures, 2)) < shares, random.random((pictures, 2)) < shares
        )
        for found, end in (
            (estimate_side(moments, GLOBAL, 0), 0),
            (estimate_grp(moments, 0.37, 1), 0),
            (estimate_grp_difference(moments, 0.37, 0, 1), -100),
        ):
            assert end - 1e-9 <= found.low <= found.value <= found.high <= 100 + 1e-9


def test_more_pictures_make_intervals_narrower():
    right = np.tile(np.array([[1, 1], [0, 1], [0, 0], [1, 0], [1, 1], [0, 0]]), (50, 1))
    few, many = moments_of(right[:60], right[:60]), moments_of(right, right)
    for figure in (
        lambda m: estimate_grp(m, 0.4, 0),
        lambda m: estimate_grp_difference(m, 0.4, 0, 1),
        lambda m: estimate_surplus(m, 1, kept=0.98, base=0),
    ):
        assert figure(many).high - figure(many).low < 0.6 * (figure(few).high - figure(few).low)


def test_few_pictures_that_rest_on_fewer_decide_nothing():
    right = np.zeros((64, 2), bool)
    right[:2] = True
    right[0, 1] = False
    moments = moments_of(right, ~right)
    assert not estimate_grp(moments, 0.4, 0).is_decided
    change = estimate_grp_difference(moments, 0.4, 1, 0)
    assert not change.is_decided
    assert "of 64 pictures changed" in str(change.refusal)
    # A score of one side is, and so is what rests on more pictures.
    assert estimate_side(moments, GLOBAL, 0).is_decided
    more = np.repeat(right, 3, axis=0)
    assert estimate_grp_difference(moments_of(more, ~more), 0.4, 1, 0).is_decided


def test_changes_that_are_not_counted_are_taken_for_whole_pictures():
    moments = answers()
    unknown = replace(moments, changed=np.full((3, 2, 2), np.nan))
    # With one question a picture they are.
    assert estimate_grp_difference(unknown, 0.4, 1, 0).low == pytest.approx(
        estimate_grp_difference(moments, 0.4, 1, 0).low
    )


def test_count_of_changes():
    shares = np.zeros((6, 1, 3))
    shares[:, 0, 0] = [0, 0, 1, 1, 1, 0]
    shares[:, 0, 1] = [0, 1, 1, 0, 1, 0]
    shares[:, 0, 2] = [0, 1, 1, 0, 0.5, 0]
    found = count_changes(shares)[0]
    assert found[0, 1] == found[1, 0] == pytest.approx(2)
    assert np.diag(found).tolist() == [0, 0, 0]
    assert found[0, 2] == pytest.approx(2.25**2 / (1 + 1 + 0.0625))


@pytest.mark.parametrize("pictures", [0, 1])
def test_too_few_pictures_decide_nothing(pictures):
    found = estimate_share(50.0, 1.0, pictures)
    assert (found.low, found.high) == (0, 100)
    assert not found.is_decided
    assert not found.excludes_zero
    moments = replace(answers(), pictures=(pictures, pictures, pictures))
    assert estimate_grp(moments, 0.4, 0).refusal is not None
    change = estimate_grp_difference(moments, 0.4, 0, 1)
    assert (change.low, change.high) == (-100, 100)


def test_a_side_without_items_decides_nothing():
    moments = answers()
    means = moments.means.copy()
    means[2] = np.nan
    without = replace(moments, means=means, pictures=(300, 300, 0))
    assert estimate_grp(without, 0.4, 0).refusal == "there is no score"
    assert estimate_grp(without, 1.0, 0).is_decided
    assert not estimate_share(math.nan, 0.0, 10).is_decided


def test_at_most_two_betas_are_compared():
    right = np.random.default_rng(0).random((50, 3)) < 0.5
    with pytest.raises(ValueError, match="at most two betas"):
        estimate(moments_of(right, right), np.ones((3, 3)))


def test_quantiles_against_tables():
    assert t_quantile(0.975, 1) == pytest.approx(12.7062047)
    assert t_quantile(0.975, 10) == pytest.approx(2.2281389)
    assert t_quantile(0.025, 63) == pytest.approx(-1.9983405)
    assert t_quantile(0.975, 1e9) == pytest.approx(Z)
    assert binomial_upper_tail(60, 184, 0.25) == pytest.approx(0.01233909, rel=1e-5)
    assert binomial_upper_tail(0, 10, 0.5) == 1
    assert binomial_upper_tail(11, 10, 0.5) == 0
