"""Sample sizes against the exact power of the test that they are for, and against each other."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binom

from ggez_hub.parity.power import difference_seen, sample_size


def power_of(n, difference, variance):
    """Of McNemar's test without correction at 5 %, summed over every number of changed answers."""
    gained = (variance + difference / 100) / (2 * variance)
    changed = np.arange(1, n + 1)
    # |gained - lost| / sqrt(changed) > 1.96
    least = np.floor((changed + 1.959964 * np.sqrt(changed)) / 2)
    return binom.pmf(changed, n, variance) @ binom.sf(least, changed, gained)


@pytest.mark.parametrize(("difference", "variance"), [(2, 0.1), (4, 0.2), (5, 0.1), (10, 0.5)])
def test_so_many_pictures_show_it_in_four_of_five_repetitions(difference, variance):
    n = sample_size(difference, variance)
    assert 0.79 < power_of(n, difference, variance) < 0.83
    # Half as many show it in about half of them.
    assert power_of(n // 2, difference, variance) < 0.6


def test_the_two_are_each_others_inverse():
    for difference, variance in ((1, 0.05), (2, 0.1), (4, 0.2), (20, 0.3)):
        n = sample_size(difference, variance)
        assert difference_seen(n, variance) <= difference < difference_seen(n - 1, variance)


def test_what_cannot_be():
    with pytest.raises(ValueError, match=r"needs a variance of 0\.1 to 1"):
        sample_size(10, 0.05)
    with pytest.raises(ValueError, match="a difference of 0 points"):
        sample_size(0, 0.1)
    assert difference_seen(1, 0.2) is None
    # Were all of the changes gains, ten pictures would still not show it.
    assert difference_seen(10, 0.05) is None
