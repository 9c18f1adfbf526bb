"""A sweep: a results folder that follows from its predictions, and that can be interrupted."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ggez_hub.cards import alpha_record
from ggez_hub.cli.main import cli
from ggez_hub.errors import GateFailed, UsageProblem
from ggez_hub.evaluation.benchmarks.preparation import prepare_tasks, tasks_for
from ggez_hub.evaluation.models import grid_on
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.evaluation.sweep.run import sweep
from ggez_hub.families import get_family
from ggez_hub.regions import alpha, find_region
from tests.evaluation import benchmarks
from tests.evaluation.conftest import make_task
from tests.evaluation.seers import write_seer
from tests.families.architectures import targets, write_adapter

pytestmark = pytest.mark.slow

TH = find_region("th")
TASKS = (make_task("en"), make_task("th"))


@pytest.fixture
def run(base, text_lora, dataset):
    def start(out, tasks=TASKS, betas=(0, 0.5, 1), **options):
        model = StoredModel(base, (text_lora,), get_family("embedding"))
        models = grid_on(model, betas)
        return sweep(models, prepare_tasks(tasks, dataset), TH, alpha_record(alpha(TH)), out,
                     **options)  # fmt: skip

    return start


def test_every_figure_follows_from_the_predictions(run, tmp_path):
    run(tmp_path / "out")
    found = verify_evidence(tmp_path / "out")
    assert found.problems == ()
    assert found.figures > 100
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert set(content["scores"]) == {"0", "0.5", "1"}


def test_a_stopped_sweep_goes_on_and_gives_the_same(run, tmp_path):
    class Stopped(Exception):
        pass

    def stop(done, total):
        if done == 2:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "out", progress=stop)
    kept = {p: p.stat().st_mtime_ns for p in (tmp_path / "out").rglob("*.parquet")}
    assert [path.parent.name for path in kept] == ["0", "0"]
    run(tmp_path / "out")
    assert all(path.stat().st_mtime_ns == time for path, time in kept.items())
    run(tmp_path / "whole")
    for name in ("results.json", "predictions.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_another_sweep_is_not_written_over(run, tmp_path):
    run(tmp_path / "out")
    with pytest.raises(UsageProblem, match="something else than this measurement"):
        run(tmp_path / "out", betas=(0, 0.25))


def test_a_task_that_was_trained_on_is_refused_before_it_is_measured(run, tmp_path):
    with pytest.raises(GateFailed):
        run(tmp_path / "out", trained_on=[TASKS[0].dataset.repo])
    assert not (tmp_path / "out").exists()


def test_parity_needs_both_sides():
    with pytest.raises(UsageProblem, match="no items of"):
        tasks_for((make_task("en"),), TH)


def test_the_command_takes_a_recipe(base, text_lora, dataset, tmp_path):
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    for task in TASKS:
        (tasks / f"{task.id}.yaml").write_text(json.dumps(task.model_dump(mode="json")))
    recipe = tmp_path / "sweep.yaml"
    text = {
        "kind": "sweep", "region": "th", "family": "embedding", "base": str(base),
        "adapter": str(text_lora), "tasks": "tasks", "data": str(dataset), "betas": [0, 1],
    }  # fmt: skip
    recipe.write_text(json.dumps(text, indent=1))
    asked = [
        "sweep",
        str(recipe),
        "-o",
        str(tmp_path / "out"),
        "--json",
        "--hub",
        "http://127.0.0.1:9",
    ]
    result = CliRunner().invoke(cli, asked)
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert document["ok"]
    assert set(document["scores"]) == {"0", "1"}
    recipe.write_text(json.dumps(text | {"betta": [1]}, indent=1))
    wrong = CliRunner().invoke(cli, asked)
    assert wrong.exit_code == 2
    assert "betta: is not a known key" in wrong.output


@pytest.mark.parametrize("kind", ["fine-tune", "task vector"])
def test_other_kinds_are_swept_without_retraining(kind, base, text_lora, dataset, tmp_path):
    """A full fine-tune (the merge at beta 1) and its task vector answer as the LoRA does there."""
    from ggez_hub.merging import Adapter, merge
    from ggez_hub.merging.extraction.task_vector import extract_task_vector

    family = get_family("embedding")
    tuned = tmp_path / "tuned"
    merge(base, [Adapter(text_lora, 1.0)], tuned, family)
    adapter = tuned
    if kind == "task vector":
        adapter = tmp_path / "vector"
        extract_task_vector(base, tuned, adapter, family)
    factor = alpha_record(alpha(TH))
    tasks = prepare_tasks(TASKS, dataset)
    found, lora = (
        sweep(
            grid_on(StoredModel(base, (a,), family), (0, 1)),
            tasks,
            TH,
            factor,
            tmp_path / a.name / "out",
        )
        for a in (adapter, text_lora)
    )
    for cell, outcomes in lora.outcomes.items():
        assert found.outcomes[cell].predicted == outcomes.predicted
    assert found.header.models["1"] != lora.header.models["1"]


def test_a_recipe_without_betas_takes_the_grid_of_its_kind(base, text_lora, dataset, tmp_path):
    """A full fine-tune is strong at small betas already; beyond it there is nothing known."""
    from ggez_hub.cli.measurement import open_recipe
    from ggez_hub.hub import Hub
    from ggez_hub.merging import Adapter, merge
    from ggez_hub.merging.extraction.task_vector import extract_task_vector

    family, tuned, vector = get_family("embedding"), tmp_path / "tuned", tmp_path / "vector"
    merge(base, [Adapter(text_lora, 1.0)], tuned, family)
    extract_task_vector(base, tuned, vector, family)
    (tmp_path / "tasks").mkdir()
    for task in TASKS:
        place = tmp_path / "tasks" / f"{task.id}.yaml"
        place.write_text(json.dumps(task.model_dump(mode="json")))
    for adapter, betas in (
        (text_lora, (0, 0.25, 0.5, 0.75, 1, 1.25)),
        (vector, (0, 0.25, 0.5, 0.75, 1, 1.25)),
        (tuned, (0, 0.05, 0.1, 0.25, 0.5, 0.75, 1)),
    ):
        recipe = tmp_path / "sweep.yaml"
        text = {"kind": "sweep", "region": "th", "family": "embedding", "base": str(base),
                "adapter": str(adapter), "tasks": "tasks", "data": str(dataset)}  # fmt: skip
        recipe.write_text(json.dumps(text))
        hub = Hub("http://127.0.0.1:9")
        opened = open_recipe(recipe, tmp_path / "out", hub, cached=False)
        assert tuple(model.beta for model in opened.grids[0].models) == betas


def test_a_vlm_is_swept_on_a_benchmark(tmp_path):
    """What the sweep answers at beta 0.5 is what the merged folder answers."""
    import transformers

    from ggez_hub.evaluation.answers.outcomes import Cell
    from ggez_hub.evaluation.results.evidence import open_evidence
    from ggez_hub.merging import Adapter, merge

    base = write_seer(tmp_path / "base", "llava")
    model = transformers.AutoModelForImageTextToText.from_pretrained(base)
    lora = write_adapter(tmp_path / "lora", model, targets(model))
    benchmarks.write_cvqa(tmp_path / "data" / "afaji" / "cvqa", 12)
    recipe = tmp_path / "sweep.yaml"
    recipe.write_text(
        "{kind: sweep, region: ph, family: vlm, base: base, adapter: lora, tasks: [cvqa], "
        "data: data, betas: [0.5]}"
    )
    hub = ["--hub", "http://127.0.0.1:9"]
    swept = CliRunner().invoke(cli, ["sweep", str(recipe), "-o", str(tmp_path / "out"), *hub])
    assert swept.exit_code == 0, swept.output
    merge(base, [Adapter(lora, 0.5)], tmp_path / "merged", get_family("vlm"))
    asked = ["eval", str(tmp_path / "merged"), "--suite", "cvqa", "--region", "ph", "--data",
             str(tmp_path / "data"), "-o", str(tmp_path / "alone"), *hub]  # fmt: skip
    assert CliRunner().invoke(cli, asked).exit_code == 0
    found, alone = (open_evidence(tmp_path / name).outcomes for name in ("out", "alone"))
    assert {cell.beta for cell in found} == {0, 0.5}
    moved = 0
    for cell, outcomes in alone.items():
        at_half = found[Cell(0.5, cell.task, cell.split)]
        assert at_half.details.log_likelihoods == outcomes.details.log_likelihoods
        moved += at_half.details.log_likelihoods != found[cell].details.log_likelihoods
    assert moved
