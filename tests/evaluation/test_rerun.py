"""`verify --rerun`: changed answers that follow from nothing but the model, named by their items."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Cell
from ggez_hub.evaluation.models import ModelUnderTest
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.figures import write_results
from ggez_hub.evaluation.sweep.rerun import rerun
from tests.evaluation.conftest import make_task

TASKS = (make_task("en"), make_task("th"), make_task("th", "choice_4"), make_task("en", "choice_4"))
ALL = "1000"


@pytest.fixture(scope="module")
def swept(base, text_lora, dataset, tmp_path_factory):
    """A sweep's recipe and its results."""
    root = tmp_path_factory.mktemp("swept")
    (root / "tasks").mkdir()
    for task in TASKS:
        (root / "tasks" / f"{task.id}.yaml").write_text(json.dumps(task.model_dump(mode="json")))
    text = {
        "kind": "sweep", "region": "th", "family": "embedding", "base": str(base), "alpha": 0.4,
        "adapter": str(text_lora), "tasks": "tasks", "data": str(dataset), "betas": [0, 1],
    }  # fmt: skip
    (root / "sweep.yaml").write_text(json.dumps(text))
    done = run("sweep", root / "sweep.yaml", "-o", root / "out", "--no-cache")
    assert done.exit_code == 0, done.output
    return root


def run(*command):
    return CliRunner().invoke(cli, [*map(str, command), "--hub", "http://127.0.0.1:9"])


def again(root, out, count, *more):
    return run("verify", out, "--rerun", count, "--recipe", root / "sweep.yaml", *more)


def changed(root, out, cell, **fields):
    """The results as they would be written if some answers had been others."""
    evidence = open_evidence(root / "out")
    outcomes = dict(evidence.outcomes)
    outcomes[cell] = replace(outcomes[cell], **fields)
    write_results(out, evidence.header.model_dump(exclude={"sha256"}), outcomes)
    assert CliRunner().invoke(cli, ["verify", str(out)]).exit_code == 0
    return out


def test_the_model_gives_the_same_answers(swept):
    done = again(swept, swept / "out", 5, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert "drawn by seed 3" in done.stdout
    assert done.stdout.count(": the same") == 5
    assert again(swept, swept / "out", 5, "--seed", 3).stdout == done.stdout
    assert again(swept, swept / "out", 5, "--seed", 4).stdout != done.stdout
    everything = json.loads(again(swept, swept / "out", ALL, "--json").stdout)
    assert everything["ok"]
    evidence = open_evidence(swept / "out")
    assert len(everything["rerun"]) == sum(map(len, evidence.outcomes.values()))


def test_an_answer_that_only_the_model_knows_better_is_named(swept, tmp_path):
    cell = Cell(1.0, TASKS[1].id, "test")
    outcomes = open_evidence(swept / "out").outcomes[cell]
    other = next(i for i in outcomes.items if i not in (outcomes.predicted[2], outcomes.gold[2]))
    rank, correct = outcomes.rank.copy(), outcomes.correct.copy()
    rank[2], correct[2] = 5, False
    predicted = tuple(other if n == 2 else p for n, p in enumerate(outcomes.predicted))
    out = changed(swept, tmp_path / "out", cell, predicted=predicted, rank=rank, correct=correct)
    done = again(swept, out, ALL)
    assert done.exit_code == 1
    assert f"{cell}: {outcomes.items[2]}: the answer was {other!r}" in done.stderr
    assert done.stderr.count("the answer was") == 1


def test_a_score_of_an_option_is_compared(swept, tmp_path):
    cell = Cell(0.0, TASKS[2].id, "test")
    outcomes = open_evidence(swept / "out").outcomes[cell]
    scores = np.array(outcomes.details.log_likelihoods)
    scores[4] += 0.01
    details = replace(outcomes.details, log_likelihoods=tuple(map(tuple, scores.tolist())))
    done = again(swept, changed(swept, tmp_path / "out", cell, details=details), ALL)
    assert done.exit_code == 1
    assert f"{outcomes.items[4]}: a score of an option differs by 0.01" in done.stderr


def test_the_language_of_a_prompt_is_identified_again(swept, tmp_path):
    """At all betas alike: nothing in the file contradicts it, and the switch would be another."""
    evidence = open_evidence(swept / "out")
    outcomes = dict(evidence.outcomes)
    for beta in (0.0, 1.0):
        cell = Cell(beta, TASKS[0].id, "test")
        details = outcomes[cell].details
        tags = tuple("th" if n == 1 else tag for n, tag in enumerate(details.prompt_languages))
        changed = replace(details, prompt_languages=tags)
        outcomes[cell] = replace(outcomes[cell], details=changed)
    write_results(tmp_path / "out", evidence.header.model_dump(exclude={"sha256"}), outcomes)
    assert CliRunner().invoke(cli, ["verify", str(tmp_path / "out")]).exit_code == 0
    done = again(swept, tmp_path / "out", ALL)
    assert done.exit_code == 1
    assert done.stderr.count("the language of its prompt is recorded as 'th'") == 2


def test_another_model_or_other_data_are_no_rerun(swept, both_lora):
    recipe = json.loads((swept / "sweep.yaml").read_text())
    for change, problem in (
        ({"adapter": str(both_lora)}, "the model at beta 0 is not the one that was measured"),
        ({"betas": [0, 0.5]}, "there is no model at beta 1, which was measured"),
    ):
        other = swept / "other.yaml"
        other.write_text(json.dumps(recipe | change))
        done = run("verify", swept / "out", "--rerun", 3, "--recipe", other)
        assert done.exit_code == 2
        assert problem in done.output
    assert run("verify", swept / "out", "--recipe", swept / "sweep.yaml").exit_code == 2


def test_a_card_is_asked_again_by_a_recipe_with_all_its_betas(tmp_path):
    """The demo's card, whose rows say which model answered; refused before anything is asked."""
    evidence = open_evidence(ASSETS / "embedding" / "th")
    measured = {beta: next(iter(rows.values())).model for beta, rows in
                evidence.document.card.curve.items()}  # fmt: skip
    models = [
        ModelUnderTest(digest, (), False, pytest.fail, float(b)) for b, digest in measured.items()
    ]
    with pytest.raises(UsageProblem, match=r"there is no model at beta 0\.1"):
        rerun(evidence, [m for m in models if m.beta != 0.1], [], 3, 0)
    other = [replace(m, digest="0" * 64) if m.beta == 0.5 else m for m in models]
    with pytest.raises(UsageProblem, match=r"the model at beta 0\.5 is not the one"):
        rerun(evidence, other, [], 3, 0)
    with pytest.raises(UsageProblem, match="the task emoji-en-choice is not the one"):
        rerun(evidence, models, [], 3, 0)


def test_a_sweep_says_itself_what_was_swept(swept):
    done = run("verify", swept / "out", "--rerun", 9)
    assert done.exit_code == 0, done.output
    assert done.stdout == again(swept, swept / "out", 9).stdout
