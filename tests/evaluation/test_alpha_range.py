"""The ranges of alpha are exact: they agree with the rule everywhere, and no grid made them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ggez_hub.cards import read_card
from ggez_hub.evaluation.alpha_range import Stretch, chosen_at, stretches
from ggez_hub.evaluation.selection import trade
from ggez_hub.evaluation.trade_off import Point, Side
from ggez_hub.world.seed import ASSETS


def point(beta, world, region, se_world=0.0, se_region=0.0, correlation=0.0):
    sides = [
        Side(max(0, q), q, se, se, 100, ("t",))
        for q, se in ((world, se_world), (region, se_region))
    ]
    return Point(beta, *sides, 0.0, 0.0, 0.0, correlation * se_world * se_region)


def test_two_lines_by_hand():
    """60 a + 20 (1 - a) against 40 a + 50 (1 - a): they meet at a = 0.6."""
    found = stretches([point(0, 60, 20), point(1, 40, 50)])
    assert found == (Stretch(1, 0.0, pytest.approx(0.6)), Stretch(0, pytest.approx(0.6), 1.0))
    assert 0.6 in found[0]
    assert 0.7 not in found[0]


def test_one_standard_error_by_hand():
    """With se 3 on either side: (30 - 50 a)^2 = 9 (a^2 + (1 - a)^2)."""
    first, last = stretches([point(0, 60, 20, 3, 3), point(1, 40, 50, 3, 3)])
    # 2482 a^2 - 2982 a + 891 = 0
    expected = (2982 - (2982**2 - 4 * 2482 * 891) ** 0.5) / (2 * 2482)
    assert (first.beta, last.beta) == (1, 0)
    assert first.high == last.low == pytest.approx(expected, abs=1e-12)


def test_one_point_is_always_chosen():
    assert stretches([point(0.5, 10, 10, 1, 1)]) == (Stretch(0.5, 0.0, 1.0),)
    same = [point(0, 10, 20, 1, 1), point(1, 10, 20, 1, 1)]
    assert stretches(same) == (Stretch(0, 0.0, 1.0),)


quality = st.floats(0, 100).map(lambda x: round(x, 3))
correlation = st.floats(-1, 1).map(lambda x: round(x, 3))
error = st.floats(0, 8).map(lambda x: round(x, 3))


@settings(max_examples=150, deadline=None)
@example([(1.0, 0.0, 0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 1.0, 0.0)])  # one error below everywhere
@given(st.lists(st.tuples(quality, quality, error, error, correlation), min_size=1, max_size=6))
def test_the_ranges_agree_with_the_rule_at_every_alpha(rows):
    points = [point(float(beta), *row) for beta, row in enumerate(rows)]
    found = stretches(points)
    assert (found[0].low, found[-1].high) == (0.0, 1.0)
    for one, other in itertools.pairwise(found):
        assert one.high == other.low
        assert one.beta != other.beta
    for step in range(401):
        alpha = step / 400
        if any(abs(alpha - end) < 1e-9 for s in found for end in (s.low, s.high)):
            continue
        (stretch,) = [s for s in found if alpha in s]
        assert chosen_at(points, alpha) == stretch.beta


def test_the_demos_ranges_end_where_the_choice_changes():
    card = read_card(ASSETS / "embedding" / "th" / "README.md").card
    points = trade(card.curve, "validation", 0.4, "th", "th").points
    found = stretches(points)
    assert [s.beta for s in found] == [0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0]
    for one, other in itertools.pairwise(found):
        end = one.high
        for alpha, beta in ((end - 1e-9, one.beta), (end + 1e-9, other.beta)):
            assert trade(card.curve, "validation", alpha, "th", "th").chosen.beta == beta
