"""The choice of beta by each policy."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS
from ggez_hub.errors import UsageProblem
from ggez_hub.parity.beta_choice import select_beta
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.policy import KEEP, PARITY, Policy
from tests.parity.curves import measured, row

GRID = st.dictionaries(
    st.sampled_from(["0", "0.25", "0.5", "0.75", "1"]),
    st.tuples(st.floats(5, 100), st.floats(5, 100)),
    min_size=1,
)


def test_parity_takes_the_highest_grp():
    points = {"0": (60.0, 20.0), "0.4": (55.0, 44.9), "0.5": (50.0, 50.0), "1": (40.0, 50.0)}
    # 49.95 is within one standard error of 50, and is not taken.
    assert select_beta(measured(points), 0.5, "th").beta == 0.5


def test_of_equal_betas_the_smaller_is_taken():
    points = {"0": (60.0, 20.0), "0.5": (50.0, 50.0), "1": (40.0, 60.0 + 1e-12)}
    assert select_beta(measured(points), 0.5, "th").beta == 0.5


def test_the_base_is_a_legitimate_answer():
    assert select_beta(measured({"0": (60.0, 50.0), "1": (40.0, 51.0)}), 0.5, "th").beta == 0.0


@given(GRID, st.floats(0, 1))
def test_no_beta_has_a_higher_grp_than_the_chosen(points, alpha):
    chosen = select_beta(measured(points), alpha, "th")
    grps = [chosen.curve.grp(index, alpha) for index in range(len(points))]
    assert chosen.grp >= max(grps) - 1e-9
    assert all(grp < chosen.grp for grp in grps[: chosen.index])


def test_keep_takes_the_best_of_the_betas_that_keep_enough():
    """With se .1 a side and independent errors, D has se .14: 58.8 + .14 are needed of 60."""
    points = {"0": (60.0, 20.0), "0.1": (58.95, 25.0), "0.2": (58.85, 30.0), "1": (40.0, 70.0)}
    curve = measured(points, se=0.1)
    assert select_beta(curve, 0.4, "th", PARITY).beta == 1.0
    chosen = select_beta(curve, 0.4, "th", KEEP)
    assert chosen.beta == 0.1
    moments = chosen.curve.moments
    value, se = moments.combine(moments.surplus(2, 0.98, 0))
    assert (value, se) == pytest.approx((0.05, 0.1 * (1 + 0.98**2) ** 0.5))
    assert select_beta(curve, 0.4, "th", Policy.parse("keep=0.6")).beta == 1.0


def test_keep_takes_the_base_where_nothing_else_keeps_enough():
    points = {"0": (60.0, 20.0), "1": (50.0, 90.0)}
    assert select_beta(measured(points), 0.4, "th", KEEP).beta == 0.0


def test_keep_weighs_outside_the_region_alone():
    """The global score falls by the region's own items; outside nothing is lost."""

    def world(thai):
        countries = {"th": {"score": thai, "n": 100, "se": 0.1}}
        return row((200 * 60 + 100 * thai) / 300, "global", n=300, se=0.1, countries=countries)

    points = {
        "0": {"g": world(80.0), "r": row(20.0, "regional")},
        "1": {"g": world(20.0), "r": row(90.0, "regional")},
    }
    assert select_beta(measured(points), 0.4, "th", KEEP).beta == 1.0


@pytest.mark.parametrize(
    ("points", "why"),
    [
        ({"0.5": (60.0, 20.0), "1": (50.0, 90.0)}, "the base was not measured"),
        ({"0": (26.0, 40.0), "1": (25.0, 90.0)}, "at chance"),
    ],
)
def test_keep_is_undetermined_without_a_base_to_keep(points, why):
    with pytest.raises(NoCurve, match=why):
        select_beta(measured(points, floor=25.0), 0.4, "th", KEEP)
    assert select_beta(measured(points, floor=25.0), 0.4, "th").beta == 1.0


def test_keep_is_undetermined_where_everything_is_of_the_region():
    countries = {"th": {"score": 60.0, "n": 400, "se": 1.0}}
    points = {
        beta: {"g": row(60.0, "global", countries=countries), "r": row(30.0, "regional")}
        for beta in ("0", "1")
    }
    with pytest.raises(NoCurve, match="no item is outside the region"):
        select_beta(measured(points), 0.4, "th", KEEP)


@pytest.mark.parametrize("text", ["parity", "keep", "keep=0.95", "keep=.5"])
def test_policies_by_name(text):
    assert Policy.parse(str(Policy.parse(text))) == Policy.parse(text)


@pytest.mark.parametrize("text", ["", "best", "keep=", "keep=1", "keep=0", "keep=-0.5", "keep=nan"])
def test_what_is_not_a_policy(text):
    with pytest.raises(UsageProblem, match="is not a policy"):
        Policy.parse(text)


def test_the_demos_choices():
    """Two choices that the issue of one standard error hid; test decides nothing."""
    card = read_card(ASSETS / "embedding" / "th" / "README.md").card
    assert card.parity != "independent"
    chosen = {
        policy: select_beta(card.measured, card.alpha.value, "th", policy).beta
        for policy in (PARITY, KEEP)
    }
    assert chosen == {PARITY: 0.8, KEEP: 0.4}
