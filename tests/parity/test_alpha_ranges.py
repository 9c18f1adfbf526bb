"""The ranges of alpha are exact: they agree with the rule everywhere, and no grid made them."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS
from ggez_hub.parity.beta_choice import AlphaRange, alpha_ranges, choose
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.policy import KEEP, PARITY
from tests.parity.curves import measured


def opened(points, **options):
    return ParityCurve.of(measured(points, **options), "validation", "th")


def test_two_lines_by_hand():
    """60 a + 20 (1 - a) against 40 a + 50 (1 - a): they meet at a = 0.6."""
    found = alpha_ranges(opened({"0": (60, 20), "1": (40, 50)}))
    assert found == (AlphaRange(1, 0.0, pytest.approx(0.6)), AlphaRange(0, pytest.approx(0.6), 1.0))
    assert 0.6 in found[0]
    assert 0.7 not in found[0]


def test_one_point_is_always_chosen():
    assert alpha_ranges(opened({"0.5": (10, 10)})) == (AlphaRange(0.5, 0.0, 1.0),)
    same = opened({"0": (10, 20), "1": (10, 20)})
    assert alpha_ranges(same) == (AlphaRange(0, 0.0, 1.0),)


def test_keep_has_ranges_of_its_own():
    curve = opened({"0": (60, 20), "0.5": (59.9, 30), "1": (40, 50)}, se=0.1)
    assert [r.beta for r in alpha_ranges(curve, PARITY)] == [1, 0.5, 0]
    assert [r.beta for r in alpha_ranges(curve, KEEP)] == [0.5, 0]


quality = st.floats(5, 100).map(lambda x: round(x, 3))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(quality, quality), min_size=1, max_size=6))
def test_the_ranges_agree_with_the_rule_at_every_alpha(points):
    curve = opened({f"{beta:g}": row for beta, row in enumerate(points)}, se=0.5)
    found = alpha_ranges(curve)
    assert (found[0].low, found[-1].high) == (0.0, 1.0)
    for one, other in itertools.pairwise(found):
        assert one.high == other.low
        assert one.beta != other.beta
    for step in range(401):
        alpha = step / 400
        if any(abs(alpha - end) < 1e-9 for s in found for end in (s.low, s.high)):
            continue
        (around,) = [s for s in found if alpha in s]
        assert choose(curve, alpha).point == around.beta


def test_the_demos_ranges_end_where_the_choice_changes():
    card = read_card(ASSETS / "embedding" / "th" / "README.md").card
    curve = ParityCurve.of(card.measured, "validation", "th")
    found = alpha_ranges(curve)
    for one, other in itertools.pairwise(found):
        end = one.high
        for alpha, beta in ((end - 1e-9, one.beta), (end + 1e-9, other.beta)):
            assert choose(curve, alpha).point == beta
