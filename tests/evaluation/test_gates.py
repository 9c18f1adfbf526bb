"""Gates: pass, fail, and what so few items cannot decide."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Cell, Details
from ggez_hub.evaluation.gates.outcome import Limits, gate_report, read_limits
from ggez_hub.evaluation.gates.rules import Gate, overall, parse_failures
from ggez_hub.parity.policy import KEEP, PARITY, Policy
from ggez_hub.recipe_file import recipes_folder
from tests.evaluation.conftest import outcomes
from tests.evaluation.results import grid, write

KEEPS = {"policy": "keep"}


def paired(n, both, only_first, only_second):
    """Two models that are both right on some items, and alone on others."""
    neither = n - both - only_first - only_second
    first = [1] * (both + only_first) + [0] * (only_second + neither)
    second = [1] * both + [0] * only_first + [1] * only_second + [0] * neither
    return first, second


def report_of(folder, world, thai, *, policy=PARITY, limits=None):
    """The gates of beta 0.5 where (merged, base) answered so, with the region's items apart."""
    cells = {}
    for split in ("validation", "test"):
        for beta, of_world, of_thai in ((0.5, world[0], thai[0]), (0.0, world[1], thai[1])):
            cells[Cell(beta, "world", split)] = outcomes(of_world)
            items = [f"t{n}" for n in range(len(of_thai))]
            cells[Cell(beta, "thai", split)] = outcomes(of_thai, items=items)
    return gate_report(write(folder, cells), limits or Limits(), 0.5, policy)


def outcome(report, name):
    return next(gate for gate in report.gates if gate.name == name)


def test_a_clear_gain_passes_and_a_clear_loss_fails(tmp_path):
    same = paired(400, 300, 0, 0)
    gained = report_of(tmp_path / "a", same, paired(184, 80, 40, 10))
    assert outcome(gained, "gain").verdict == "pass"
    lost = report_of(tmp_path / "b", same, paired(184, 80, 10, 40))
    assert outcome(lost, "gain").verdict == "fail"


@pytest.mark.parametrize("lost", [1, 5, 20, 88])
def test_the_papers_gain_on_thailand_is_undetermined(tmp_path, lost):
    """51.6 -> 52.2 of 184 (Table 10): 95 and 96 right, whichever answers they share."""
    thai = paired(184, 95 - lost, lost + 1, lost)
    gate = outcome(report_of(tmp_path, paired(400, 300, 0, 0), thai), "gain")
    assert gate.verdict == "undetermined"
    assert gate.difference.low < 0 < gate.difference.high


@pytest.mark.parametrize(
    ("lost", "policy", "verdict"),
    [
        (0.001, "keep", "pass"),
        (0.01, "keep=0.96", "pass"),
        (0.10, "keep", "fail"),
        (0.013, "keep", "undetermined"),
    ],
)
def test_retention(tmp_path, lost, policy, verdict):
    """base 80 %, floor 25 %: 2 % of 55 points are 1.1."""
    n = 4000
    world = ([1] * (3200 - int(n * lost)) + [0] * (800 + int(n * lost)), [1] * 3200 + [0] * 800)
    report = report_of(tmp_path, world, paired(400, 200, 100, 0), policy=Policy.parse(policy))
    gate = outcome(report, "retention")
    assert gate.verdict == verdict
    share = Policy.parse(policy).share
    assert gate.difference.value == pytest.approx(
        100 * ((0.55 - lost) - share * 0.55) / 0.75, abs=0.02
    )


def test_parity_states_the_loss_and_claims_nothing_that_it_does_not_show(tmp_path):
    world = paired(1000, 700, 0, 100)
    report = report_of(tmp_path, world, paired(400, 100, 150, 0))
    assert [gate.name for gate in report.gates] == ["gain", "parse failures", "leakage"]
    assert report.effects.loss.value == pytest.approx(100 * 0.1 / 0.75)
    said = " ".join(report.statements)
    assert "+13.33" in said
    assert "merging pays" not in said  # beta 1 was not measured


def test_nothing_can_be_shown_at_chance(tmp_path):
    guess = [1] * 25 + [0] * 75
    report = report_of(tmp_path / "a", (guess, guess), paired(400, 100, 150, 0), policy=KEEP)
    assert outcome(report, "retention").verdict == "undetermined"
    assert "at chance" in outcome(report, "retention").reason
    below = report_of(tmp_path / "b", paired(400, 300, 0, 0), (guess, [0] * 100))
    assert outcome(below, "gain").verdict == "undetermined"
    assert "at chance on the region" in outcome(below, "gain").reason


def test_the_base_itself_retains_and_does_not_gain(tmp_path):
    evidence = write(tmp_path)
    report = gate_report(evidence, Limits(), 0.0, KEEP)
    assert outcome(report, "retention").verdict == "pass"
    assert outcome(report, "gain").verdict == "fail"


def test_what_is_gated_is_what_the_policy_chooses(tmp_path):
    shares = {0.0: (0.80, 0.40), 0.5: (0.797, 0.60), 1.0: (0.60, 0.95)}
    evidence = write(tmp_path, grid(4000, shares=shares))
    assert gate_report(evidence, Limits(), policy=PARITY).beta == 1.0
    kept = gate_report(evidence, Limits(), policy=KEEP)
    assert kept.beta == 0.5
    assert outcome(kept, "gain").verdict == "pass"


def test_another_beta_that_would_pass_is_named(tmp_path):
    shares = {0.0: (0.80, 0.40), 0.25: (0.80, 0.60), 1.0: (0.60, 0.90)}
    evidence = write(tmp_path, grid(4000, shares=shares), data=["mammoth/vl"])
    report = gate_report(evidence, Limits(), 1.0, KEEP)
    assert outcome(report, "retention").verdict == "fail"
    assert report.passing == (0.25,)
    assert any("these betas of the grid would pass every gate: 0.25" in s for s in report.lines())


def test_a_policy_is_declared_by_the_results(tmp_path):
    evidence = write(tmp_path, grid(4000), **KEEPS)
    assert str(gate_report(evidence, Limits()).policy) == "keep"
    assert gate_report(evidence, Limits()).gates[0].name == "retention"


def test_parse_failures():
    asked = outcomes([1] * 90 + [0] * 10)
    asked = replace(asked, predicted=(*asked.predicted[:94], *[""] * 6))
    assert parse_failures([asked], 0.05).verdict == "fail"
    assert parse_failures([asked], 0.06).verdict == "pass"
    assert parse_failures([], 0.06).verdict == "undetermined"


@pytest.mark.parametrize(
    ("verdicts", "worst"),
    [
        (["pass", "pass"], "pass"),
        (["pass", "undetermined"], "undetermined"),
        (["undetermined", "fail", "pass"], "fail"),
    ],
)
def test_the_worst_outcome_counts(verdicts, worst):
    assert overall([Gate("x", verdict, "") for verdict in verdicts]) == worst


def run(*arguments):
    return CliRunner().invoke(cli, ["ci", "gate", *map(str, arguments)])


def test_the_shipped_recipe_is_the_default():
    assert read_limits(recipes_folder() / "gates.yaml") == Limits()


def test_the_demos_adapter_gains_and_does_not_retain():
    """A real result of real models, by both policies."""
    thai = ASSETS / "embedding" / "th"
    result = run(thai, "--tasks", recipes_folder() / "demo", "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["policy"], found["beta"], found["outcome"]) == ("parity", 0.8, "pass")
    assert [gate["gate"] for gate in found["gates"]] == ["gain", "parse failures", "leakage"]
    assert any("merging pays" in said for said in found["statements"])
    kept = run(
        thai, "--tasks", recipes_folder() / "demo", "--policy", "keep", "--beta", "0.8", "--json"
    )
    assert kept.exit_code == 3
    gates = {gate["gate"]: gate["outcome"] for gate in json.loads(kept.stdout)["gates"]}
    assert gates == {
        "retention": "fail", "gain": "pass", "parse failures": "pass", "leakage": "pass"
    }  # fmt: skip
    assert "retention: 98 % of the base's score above chance" in kept.stderr


def test_a_recipe_sets_the_limits(tmp_path):
    recipe = tmp_path / "gates.yaml"
    recipe.write_text("kind: gates\nparse_failures: 0.2\n")
    thai = ASSETS / "embedding" / "th"
    result = run(thai, "--tasks", recipes_folder() / "demo", "--recipe", recipe)
    assert result.exit_code == 0
    assert "published as proven" in result.stdout
    recipe.write_text("kind: gates\nretention: 0.2\n")
    wrong = run(thai, "--recipe", recipe)
    assert wrong.exit_code == 2
    assert "line 2: retention: " in wrong.stderr


def test_a_leak_fails(tmp_path):
    evidence = write(tmp_path, data=["wit543/sea-vqa"])
    result = run(tmp_path)
    assert result.exit_code == 3
    assert "thai: wit543/sea-vqa is on its card" in result.stderr
    assert gate_report(evidence, Limits()).gates[-1].verdict == "fail"


def test_what_was_not_measured(tmp_path):
    evidence = write(tmp_path, grid(shares={0.5: (0.8, 0.6), 1.0: (0.7, 0.65)}))
    with pytest.raises(UsageProblem, match="the base was not measured"):
        gate_report(evidence, Limits(), 0.5)
    full = write(tmp_path / "full", grid())
    with pytest.raises(UsageProblem, match=r"beta 0\.3 was not measured"):
        gate_report(full, Limits(), 0.3)


def test_nothing_of_test_takes_part_in_the_choice(tmp_path):
    """The same validation answers choose the same beta, whatever the test answers are."""
    cells = grid(1000)
    worse = {
        cell: outcomes(np.zeros(len(found), bool), items=list(found.items))
        if cell.split == "test" and cell.beta == 0.5
        else found
        for cell, found in cells.items()
    }
    first, second = write(tmp_path / "a", cells), write(tmp_path / "b", worse)
    chosen = [gate_report(e, Limits()).beta for e in (first, second)]
    assert chosen == [0.5, 0.5]


def test_questions_about_one_picture_stand_together(tmp_path):
    """Ten questions a picture are no more evidence than the pictures are."""
    cells = grid(600)
    together = {
        cell: replace(
            found,
            details=Details.of(600, images=[f"{cell.task}-{row // 10}" for row in range(600)]),
        )
        for cell, found in cells.items()
    }
    apart = gate_report(write(tmp_path / "a", cells), Limits()).gates[0].difference
    joint = gate_report(write(tmp_path / "b", together), Limits()).gates[0].difference
    assert joint.value == pytest.approx(apart.value)
    assert joint.pictures == apart.pictures / 10
