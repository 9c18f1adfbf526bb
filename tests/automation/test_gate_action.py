"""The gate as an action of its own: evidence in; verdict, table and a failed step out."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.evaluation.results import write

from .runner import PROJECT, Runner


@pytest.fixture
def runner(tmp_path):
    """A job of a registry elsewhere."""
    (tmp_path / "checkout").mkdir()
    return Runner(tmp_path / "checkout", "http://127.0.0.1:9", SimpleNamespace(url=""))


def test_results_become_a_verdict_and_a_table(runner):
    write(runner.clone / "our results", data=["mammoth/vl"])
    tasks = str(PROJECT / "recipes" / "demo")
    ran = runner.run_action({"place": "our results", "tasks": tasks})
    assert [step.code for step in ran] == [0, 0], ran[-1]
    given = runner.outputs()
    assert (given["outcome"], given["publish_as"]) == ("pass", "proven")
    table = Path(given["table"]).read_text()
    assert table.startswith("**Taken together: pass; the improvement is to be published as proven.")
    assert "| gain | pass | +" in table
    assert (runner.clone.parent / "summary.md").read_text() == table
    assert json.loads(Path(given["report"]).read_text())["outcome"] == "pass"


def test_a_gate_that_fails_fails_the_step_and_gives_its_verdict(runner):
    write(runner.clone / "results", data=["wit543/sea-vqa"])
    ran = runner.run_action({"place": "results", "policy": "keep=0.5"})
    assert [step.code for step in ran] == [0, 3]
    assert "not passed" in ran[-1].stderr
    assert (runner.outputs()["outcome"], runner.outputs()["publish_as"]) == ("fail", "")
    assert "| leakage | fail |" in Path(runner.outputs()["table"]).read_text()
    assert json.loads(Path(runner.outputs()["report"]).read_text())["policy"] == "keep=0.5"


def test_figures_that_do_not_follow_from_the_predictions_have_no_verdict(runner):
    write(runner.clone / "results")
    place = runner.clone / "results" / "results.json"
    content = json.loads(place.read_text())
    content["scores"]["0.5"]["thai/test"]["score"] = 99.0
    place.write_text(json.dumps(content))
    ran = runner.run_action({"place": "results"})
    assert [step.code for step in ran] == [1]
    assert not (runner.clone.parent / "output.txt").exists()
