import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ggez_hub.errors import UsageProblem
from ggez_hub.parity import grp, normalised

scores = st.floats(min_value=0, max_value=100)
weights = st.floats(min_value=0, max_value=1)
ROUNDING = 1e-9


def test_table_1_follows_from_its_printed_inputs(paper_tables):
    table = paper_tables["1"]
    at = {name: number for number, name in enumerate(table["columns"])}
    for row in table["rows"].values():
        ours = grp(row[at["global_avg"]], row[at["sea_avg"]], table["alpha"])
        # Inputs and result are printed to 0.1: each is off by up to 0.05.
        assert ours == pytest.approx(row[at["GRP"]], abs=0.1)


@given(scores, scores, weights)
def test_grp_lies_between_its_scores(q_global, q_regional, alpha):
    low, high = sorted((q_global, q_regional))
    assert low - ROUNDING <= grp(q_global, q_regional, alpha) <= high + ROUNDING


@given(scores, scores)
def test_alpha_one_keeps_the_world_and_zero_the_region(q_global, q_regional):
    assert grp(q_global, q_regional, 1.0) == q_global
    assert grp(q_global, q_regional, 0.0) == q_regional


@given(scores, scores, scores, weights)
def test_grp_never_falls_when_a_score_rises(one, other, fixed, alpha):
    low, high = sorted((one, other))
    assert grp(low, fixed, alpha) <= grp(high, fixed, alpha)
    assert grp(fixed, low, alpha) <= grp(fixed, high, alpha)


@given(scores, scores, weights, weights)
def test_a_larger_alpha_moves_grp_towards_the_global_score(q_global, q_regional, one, other):
    near, far = max(one, other), min(one, other)
    distance = abs(grp(q_global, q_regional, near) - q_global)
    assert distance <= abs(grp(q_global, q_regional, far) - q_global) + ROUNDING


@pytest.mark.parametrize("wrong", [-0.01, 100.01, math.nan, math.inf, -math.inf])
def test_scores_out_of_range_are_refused(wrong):
    for arguments in ((wrong, 50, 0.5), (50, wrong, 0.5)):
        with pytest.raises(UsageProblem):
            grp(*arguments)


@pytest.mark.parametrize("wrong", [-0.01, 1.01, math.nan, 43.4])
def test_alpha_out_of_range_is_refused(wrong):
    with pytest.raises(UsageProblem):
        grp(50, 50, wrong)


def test_chance_corrected_scores_may_be_negative_but_not_infinite():
    assert grp(-2.0, 10.0, 0.5, chance_corrected=True) == 4.0
    with pytest.raises(UsageProblem):
        grp(-2.0, 10.0, 0.5)
    with pytest.raises(UsageProblem):
        grp(-math.inf, 10.0, 0.5, chance_corrected=True)


def test_normalised_is_0_at_chance_and_100_at_the_ceiling():
    assert normalised(25.0, floor=25.0) == 0.0
    assert normalised(100.0, floor=25.0) == 100.0
    assert normalised(62.5, floor=25.0) == 50.0
    assert normalised(10.0, floor=25.0) == -20.0
    assert normalised(40.0, floor=0.0, ceiling=80.0) == 50.0


@pytest.mark.parametrize(
    "arguments", [(50, 100), (50, 60, 60), (50, -1), (101, 25), (math.nan, 25), (50, 25, 101)]
)
def test_normalised_refuses_scales_that_are_none(arguments):
    with pytest.raises(UsageProblem):
        normalised(*arguments)
