"""How many pictures would decide."""

from __future__ import annotations

import numpy as np
import pytest

from ggez_hub.parity.effects import NOT_FEASIBLE, pictures_for, pictures_for_retention
from tests.parity.samples import moments_of


def swapped(pictures: int, lost: int, gained: int):
    """Half are right at the base; so many turn wrong, and so many right, at the second beta."""
    right = np.zeros((pictures, 2), bool)
    right[: pictures // 2] = True
    right[:lost, 1] = False
    right[pictures // 2 : pictures // 2 + gained, 1] = True
    return moments_of(right, right)


def test_four_of_five_repetitions_decide():
    """With so many pictures the interval of the true effect leaves 0 out in 80 %."""
    needed = pictures_for(1.0, 2.0, 100)
    assert needed == pytest.approx(100 * 4 * (1.959964 + 0.841621) ** 2, abs=1)
    draws = np.random.default_rng(0).normal(1.0, 2.0 * np.sqrt(100 / needed), 100_000)
    assert np.mean(draws > 1.959964 * 2.0 * np.sqrt(100 / needed)) == pytest.approx(0.8, abs=0.01)


def test_the_size_of_a_retention_gate():
    """A margin of 1 point, 6 % of the answers changed: 7.85 * .06 / .01^2 pictures."""
    needed = pictures_for_retention(swapped(1000, 30, 30), 1, kept=0.98, base=0)
    assert needed.loss == pytest.approx(0)
    assert needed.for_no_loss == pytest.approx(7.849 * 0.06 / 0.01**2, rel=0.05)
    assert needed.for_estimate == pytest.approx(needed.for_no_loss, rel=0.01)


def test_near_the_margin_no_number_decides():
    moments = swapped(1000, 12, 0)
    assert moments.means[1, 1] / moments.means[1, 0] == pytest.approx(0.976)
    needed = pictures_for_retention(moments, 1, kept=0.98, base=0)
    assert needed.for_estimate is None
    assert NOT_FEASIBLE in str(needed)
    lost = pictures_for_retention(swapped(1000, 50, 0), 1, kept=0.98, base=0)
    assert 0 < lost.for_estimate < lost.for_no_loss


def test_identical_answers_do_not_need_nothing():
    needed = pictures_for_retention(swapped(400, 0, 0), 1, kept=0.98, base=0)
    assert needed.for_estimate == needed.for_no_loss > 400


@pytest.mark.parametrize(("effect", "se", "pictures"), [(0, 1, 50), (np.nan, 1, 50), (1, 1, 1)])
def test_nothing_to_compute_from(effect, se, pictures):
    assert pictures_for(effect, se, pictures) is None


def test_a_base_at_nothing_has_nothing_to_keep():
    right = np.zeros((100, 2), bool)
    assert pictures_for_retention(moments_of(right, right), 1, kept=0.98, base=0) is None


def test_the_base_decides_itself():
    assert pictures_for_retention(swapped(1000, 30, 30), 0, kept=0.98, base=0) is None
