"""The plan of a study against what is known of it without simulation."""

from __future__ import annotations

import math

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.errors import UsageProblem
from ggez_hub.humans.power import Trial, plan
from ggez_hub.humans.simulation import Spread
from ggez_hub.parity.score_intervals import NORMAL
from ggez_hub.regions import alpha

from .studies import study_of
from .study_files import item_rows, write_study

pytestmark = pytest.mark.slow

NOISE = Spread(items=0, outputs=0, raters=0, tastes=0, noise=1.0)


def test_without_raters_and_items_that_differ_the_error_is_that_of_independent_answers():
    study = study_of(items=120, raters_per_item=3, repeats=0.0)
    found = plan(study, spread=NOISE)
    # Points of three equally likely answers: 0, 50, 100.
    variance = 5000 / 3
    weights = {"global": alpha("th").value, "regional": 1 - alpha("th").value}
    answers = {"global": 3 * 120, "regional": 2 * 3 * 120}
    error = math.sqrt(sum(2 * variance * weights[side] ** 2 / answers[side] for side in weights))
    assert found.planned.shown == pytest.approx(2.8016 * error, rel=0.08)
    assert found.planned.judgements == 3 * 3 * 3 * 120
    power = NORMAL.cdf(5 / error - 1.96)
    assert found.planned.power == pytest.approx(power, abs=0.1)
    needed = 120 * (2.8016 * error / 5) ** 2
    assert found.needed.items == pytest.approx(needed, rel=0.2)
    assert 0.7 < found.needed.power < 0.9


def test_no_difference_is_hardly_ever_shown():
    trial = Trial(study_of(items=60, raters_per_item=4), 1e-6, Spread(), 3)
    assert trial.workload(60).power < 0.08


@pytest.mark.parametrize("design", ["pairs", "rank"])
def test_the_plan_of_a_comparison_has_the_power_in_other_repetitions(design):
    study = study_of(design, items=60, raters_per_item=3)
    found = plan(study, difference=15)
    again = Trial(study, 15, Spread(), 9).workload(found.needed.items)
    assert 0.65 < again.power < 0.95
    assert again.judgements == found.needed.judgements


def test_too_few_raters_show_nothing_and_a_study_can_be_too_large():
    found = plan(study_of(items=40, raters_per_item=1, raters={"regional": ("th",)}), difference=20)
    assert found.planned.raters < 6
    assert found.planned.power == 0
    assert found.needed.raters >= 6
    assert plan(study_of(items=40), difference=0.2).needed is None
    alone = study_of(items=40, raters_per_item=1, items_per_rater=10_000)
    assert plan(alone).needed is None
    with pytest.raises(UsageProblem, match="more than there can be"):
        plan(study_of(items=40), difference=99)


def test_the_plan_is_printed_before_anything_is_made(tmp_path):
    models = [{"name": name, "role": "other", "folder": "nowhere"} for name in ("a", "b")]
    rows = [{**row, "outputs": {}} for row in item_rows(40)]
    file = write_study(tmp_path / "study", rows, models=models, drawing={"seeds": [0]})
    run = CliRunner().invoke(cli, ["humans", "new", str(file), "--plan"])
    assert run.exit_code == 0, run.output
    said = run.output
    assert "as the study is     40" in said
    assert "To show 5 points of b over a (correctness) in 80% of repetitions" in said
    assert "Assumed: of the variance of a judgement items" in said
    alone = write_study(tmp_path / "alone", rows, models=models[:1], drawing={"seeds": [0]})
    run = CliRunner().invoke(cli, ["humans", "new", str(alone), "--plan"])
    assert run.exit_code == 2
    assert "compares nothing" in run.output
