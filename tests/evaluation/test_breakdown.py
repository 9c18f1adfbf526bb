"""Micro and macro averages: the two that the paper prints side by side without saying so."""

from __future__ import annotations

import pytest

from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.evaluation.results.breakdown import breakdown, breakdowns
from ggez_hub.paper.tables import tables
from tests.evaluation.conftest import outcomes


@pytest.fixture(scope="module")
def sea_vqa():
    """Answers as many and as right as those of the paper's 10 % merge on SEA-VQA."""
    table = tables()["10"]
    row = table.rows["SEA-Gemma-3 10%"]
    correct, countries = [], []
    for country, n in table.counts.items():
        right = round(float(row[country].value) * n / 100)
        correct += [1] * right + [0] * (n - right)
        countries += [country] * n
    return outcomes(correct, countries=countries)


def test_micro_is_over_questions_and_macro_over_countries(sea_vqa):
    found = breakdown(sea_vqa, "countries")
    assert round(score_of(sea_vqa).score, 1) == 61.7
    assert round(found.macro.value, 1) == 61.1
    assert found.unknown == 0
    assert found.micro == score_of(sea_vqa).score
    thai = found.parts["tha"]
    assert (thai.n, round(thai.score, 1)) == (184, 52.2)
    assert found.parts["sgp"].se > 7
    # 32 questions of Singapore count as much as 752 of Indonesia.
    assert found.macro.se > score_of(sea_vqa).se


def test_only_what_is_recorded():
    assert breakdown(outcomes([1, 0]), "countries") is None
    some = outcomes([1, 0, 1], languages=["th", None, "th"])
    assert set(breakdowns(some)) == {"languages"}
    found = breakdowns(some)["languages"]
    assert (found.parts["th"].n, found.unknown) == (2, 1)


def test_one_picture_gives_no_interval():
    found = breakdown(outcomes([1, 0], images=["p", "p"], categories=["a", "b"]), "categories")
    assert found.macro is None
    assert found.parts["a"].score == 100
