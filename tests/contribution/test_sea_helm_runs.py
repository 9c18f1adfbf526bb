"""Runs of SEA-HELM on a card as its author's claim, and results as runs of SEA-HELM."""

from __future__ import annotations

import json
import shutil

import pytest
from click.testing import CliRunner

from ggez_hub.cards import read_card
from ggez_hub.cli.main import cli
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.evaluation.sea_helm.runs import read_runs

from ..evaluation import sea_helm as made
from ..worlds import card, write_card


def run(*command):
    return CliRunner().invoke(cli, list(map(str, command)))


@pytest.fixture
def adapter(world, tmp_path):
    folder = shutil.copytree(world / "embedding" / "th", tmp_path / "th")
    base = world / "embedding" / "base"
    changes = {"region": "southeast-asia", "curve": "unknown", "level": "declared"}
    write_card(folder, card("th", base, folder, **changes))
    return folder


def test_runs_go_onto_a_card_as_a_claim(adapter, tmp_path):
    for name, bonus in (("base", 0), ("merged", 6)):
        made.write_runs(tmp_path / "out" / name, bonus=bonus)
    points = [f"0={tmp_path / 'out' / 'base'}", f"0.5={tmp_path / 'out' / 'merged'}"]
    results = tmp_path / "results"
    done = run("import", *points, "--card", adapter, "-o", results, "--json")
    assert done.exit_code == 0, done.output
    figures = json.loads(done.stdout)["sea_helm"]
    assert figures["0.5"]["tl"]["mean"] > figures["0"]["tl"]["mean"]
    evidence = open_evidence(results)
    assert verify_evidence(results).problems == ()
    task = evidence.header.tasks["sea-helm-cvqa-tl-regional"]
    assert (task.runs, task.average, task.regions) == (8, "answers", ["ph"])
    done = run("card", "measure", results, adapter)
    assert done.exit_code == 0, done.output
    noted = read_card(adapter / "README.md").card
    assert verify_evidence(adapter).problems == ()
    rows = noted.curve["0"]
    by_split = [rows[f"sea-helm-cvqa-tl/{split}"] for split in ("validation", "test")]
    assert {(row.measured_by, row.runs, row.evaluator) for row in by_split} == {
        ("self", 8, "SEA-HELM 6844e6c")
    }
    # 8 runs of a question, and two questions about a picture, are not independent: Miller's errors.
    row = by_split[1]
    answers = next(o for c, o in evidence.outcomes.items() if (c.beta, c.task, c.split) == (0, "sea-helm-cvqa-tl", "test"))  # fmt: skip
    sums = {}
    for picture, value in zip(answers.pictures, answers.values, strict=True):
        sums[picture] = sums.get(picture, 0) + value - answers.values.mean()
    k = len(sums)
    assert k == len(answers) / 2
    spread = (k / (k - 1) * sum(s**2 for s in sums.values())) ** 0.5 / len(answers)
    assert row.se == pytest.approx(100 * spread)
    assert (row.floor, row.score) == (25, pytest.approx(100 * answers.values.mean()))
    done = run("export", adapter, "--format", "every-eval-ever", "-o", tmp_path / "eee", "--json")
    names = {
        entry["file"].split("/data/ggez-hub/")[1].rpartition("/")[0]
        for entry in json.loads(done.stdout)["written"]
    }
    assert noted.base.repo in names
    assert len(names) == 2
    captions = rows["sea-helm-xm3600-tl/test"]
    assert (captions.floor, captions.judge.partition("-")[0]) == (0, "laion/CLIP")


def test_runs_come_back_as_they_were(adapter, tmp_path):
    source = made.write_runs(tmp_path / "out" / "merged")
    results = tmp_path / "results"
    assert run("import", f"1={source}", "--card", adapter, "-o", results).exit_code == 0
    done = run(
        "export", results, "--format", "sea-helm", "-o", tmp_path / "back", "--model", "org/merged"
    )
    assert done.exit_code == 0, done.output
    first, again = read_runs(source), read_runs(tmp_path / "back" / "merged")
    assert (again.count, again.left_out) == (8, {})
    for own, other in zip(first.answers, again.answers, strict=True):
        assert (own.name, own.language, own.config.metric) == (other.name, other.language, other.config.metric)  # fmt: skip
        for number in range(8):
            columns = (own.items, own.labels, own.replies[number], own.worth[number])
            others = (other.items, other.labels, other.replies[number], other.worth[number])
            assert sorted(zip(*columns, strict=True), key=str) == sorted(
                zip(*others, strict=True), key=str
            )
    # The clusters too: the rows carry what identifies the picture.
    assert run("import", f"1={tmp_path / 'back' / 'merged'}", "--card", adapter, "-o", tmp_path / "second").exit_code == 0  # fmt: skip
    scores = [
        json.loads((folder / "results.json").read_text())["scores"]
        for folder in (results, tmp_path / "second")
    ]
    assert scores[0] == scores[1]
    totals = json.loads(next((tmp_path / "back/merged/run_0/results").iterdir()).read_text())
    tasks = totals["tl"]["vision"]
    scores = tasks["cvqa"]["normalized_accuracy"], tasks["xm3600"]["normalized_refclipscore"]
    assert tasks["total"] == pytest.approx(sum(scores) / 2)
    assert totals["id"]["vision"]["world_cuisine"] == totals["id"]["total"]


def broken_row(text):
    return text.replace('"individual_scores"', '"scores"', 1)


def other_questions(text):
    return text.replace('"1000_0"', '"9999_0"', 1)


def out_of_range(text):
    return text.replace('{"normalized_accuracy": 1}', '{"normalized_accuracy": 3}', 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (broken_row, "line 1: not a row of SEA-HELM"),
        (other_questions, "does not answer the questions of"),
        (out_of_range, "normalized_accuracy 3, it should be 0 to 1"),
        (lambda _: "", "has no rows"),
    ],
)
def test_rows_that_are_off_are_named(adapter, tmp_path, change, message):
    folder = made.write_runs(tmp_path / "model", count=2, names=("cvqa",))
    path = folder / "run_1" / "inferences" / "tl" / "cvqa" / "model_cvqa_tl.jsonl"
    path.write_text(change(path.read_text()))
    done = run("import", f"0={folder}", "--card", adapter, "-o", tmp_path / "results")
    assert done.exit_code == 1
    assert message in done.stderr
    assert not (tmp_path / "results").exists()


def test_runs_that_lack_a_task_are_said(adapter, tmp_path):
    folder = made.write_runs(tmp_path / "model", count=3, names=("cvqa", "world_cuisine"))
    shutil.rmtree(folder / "run_2" / "inferences" / "id")
    done = run("import", f"0={folder}", "--card", adapter, "-o", tmp_path / "results")
    assert done.exit_code == 0, done.output
    assert "world_cuisine_task1/id: answered in 2 of 3 runs" in done.stderr
    (empty := tmp_path / "empty").mkdir()
    done = run("import", f"0={empty}", "--card", adapter, "-o", tmp_path / "other")
    assert "holds no runs of SEA-HELM (run_0, run_1, ...)" in done.stderr
    assert run("import", "0", "--card", adapter, "-o", tmp_path / "other").exit_code == 2
