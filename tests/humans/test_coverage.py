"""Intervals over raters and items hold the truth as often as they say; those over judgements do not."""

from __future__ import annotations

import pytest

from benchmarks.humans import Setting, coverage


@pytest.mark.parametrize("design", [pytest.param("likert", marks=pytest.mark.slow), "rank"])
def test_intervals_hold_the_truth_of_simulated_raters(design):
    setting = Setting(design, 40, 3, 30 if design == "likert" else 12)
    for own in coverage(setting, studies=300, redraws=50):
        # 300 studies: one standard error is 1.3 points.
        assert 0.92 <= own.held["two-way"] <= 0.985, own
        assert own.held["judgements"] < 0.85, own
        assert own.width["two-way"] < own.width["pigeonhole"] * 1.05, own
