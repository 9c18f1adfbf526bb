"""What stands beside the merge: the switch by prompt language, averaged outputs, a joint fine-tune."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner

from demo_world.__main__ import ASSETS
from demo_world.baselines import record_prompts
from ggez_hub.cards import CardDocument, alpha_record, read_card, render_card
from ggez_hub.cli.main import cli
from ggez_hub.demo.world import DEMO_FAMILIES, FamilyFolders
from ggez_hub.evaluation.answers.cache import AnswerCache
from ggez_hub.evaluation.answers.outcomes import Cell, Details
from ggez_hub.evaluation.answers.predictions import read_predictions
from ggez_hub.evaluation.benchmarks.preparation import prepare_tasks
from ggez_hub.evaluation.models import Adapted, grid_on
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.baselines import baselines, card_baselines
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.header import AdapterRecord
from ggez_hub.evaluation.results.verification import verify_evidence
from ggez_hub.evaluation.sweep.run import sweep
from ggez_hub.families import get_family
from ggez_hub.regions import alpha, find_region
from tests.evaluation.conftest import change, make_task
from tests.evaluation.results import grid, write

pytestmark = pytest.mark.slow

TH = find_region("th")
ADAPTER = AdapterRecord(
    name="a/b", region="th", languages=["th"], adapts=["prompt_language"], files={"x": "0" * 64}
)
N = 600


def asked_in(cells, identified, labels=None, **details):
    """The grid with what each task's prompts were identified as, and the data's labels."""
    return {
        cell: replace(
            found,
            details=Details.of(
                N,
                prompt_languages=identified[cell.task],
                languages=(labels or identified)[cell.task],
                **details,
            ),
        )
        for cell, found in cells.items()
    }


def switch_of(tmp_path, cells, **changes):
    evidence = write(tmp_path / "out", cells, adapters=[ADAPTER.model_dump()], **changes)
    assert verify_evidence(tmp_path / "out").problems == ()
    return evidence, figures(evidence)["baselines"]["switch"]


def test_the_switch_is_the_base_outside_and_the_adapter_inside(tmp_path):
    tags = {"world": ["en"] * N, "thai": ["th"] * N}
    evidence, found = switch_of(tmp_path, asked_in(grid(), tags))
    base, adapter = (evidence.outcomes[Cell(0.0, "world", "test")],
                     evidence.outcomes[Cell(1.0, "thai", "test")])  # fmt: skip
    assert found["q_global"]["value"] == pytest.approx(100 * base.correct.mean())
    assert found["q_regional"]["value"] == pytest.approx(100 * adapter.correct.mean())
    assert found["routes"]["to_base"] == found["routes"]["to_adapter"] == N
    assert found["routes"]["misrouted"] == 0
    assert found["over_merge"] == found["upper_bound"]["over_merge"]
    assert found["cue"]
    assert found["recommended"] == (found["over_merge"]["interval"][0] > 0)
    # GRP over the merge at beta .5, of scores above chance.
    a, chance = evidence.header.alpha.value, 0.25
    merge = [evidence.outcomes[Cell(0.5, task, "test")].correct.mean() for task in tags]
    lead = a * (base.correct.mean() - merge[0]) + (1 - a) * (adapter.correct.mean() - merge[1])
    assert found["over_merge"]["value"] == pytest.approx(100 * lead / (1 - chance))


def test_misroutes_are_counted_by_language_and_cost_what_they_cost(tmp_path):
    labels = {"world": ["en"] * N, "thai": ["th"] * N}
    identified = {"world": ["en"] * 570 + ["th"] * 30, "thai": ["th"] * 500 + ["lo"] * 100}
    evidence, found = switch_of(tmp_path, asked_in(grid(), identified, labels))
    assert found["routes"] == {
        "to_base": 670,
        "to_adapter": 530,
        "misrouted": 130,
        "by_language": {
            "en": {"prompts": N, "to_adapter": 30, "misrouted": 30},
            "th": {"prompts": N, "to_adapter": 500, "misrouted": 100},
        },
    }
    base, adapter = (evidence.outcomes[Cell(beta, "thai", "test")].correct for beta in (0.0, 1.0))
    mixed = np.concatenate([adapter[:500], base[500:]])
    assert found["q_regional"]["value"] == pytest.approx(100 * mixed.mean())
    assert found["upper_bound"]["q_regional"]["value"] == pytest.approx(100 * adapter.mean())


@pytest.mark.parametrize(
    ("regional", "adapts", "reason"),
    [
        ("en", ["prompt_language"], "items of the region are asked in en"),
        ("th", ["content"], "changes content"),
    ],
)
def test_without_a_cue_it_says_so_and_where_the_prompts_went(tmp_path, regional, adapts, reason):
    tags = {"world": ["en"] * N, "thai": [regional] * N}
    adapter = ADAPTER.model_copy(update={"adapts": adapts})
    evidence = write(tmp_path / "out", asked_in(grid(), tags), adapters=[adapter.model_dump()])
    found = figures(evidence)["baselines"]["switch"]
    assert not found["cue"]
    assert reason in found["reason"]
    assert not found["recommended"]
    assert found["routes"]["to_adapter"] == (0 if regional == "en" else N)
    shown = CliRunner().invoke(cli, ["verify", str(tmp_path / "out")])
    assert "no cue, not recommended" in shown.output
    assert f"{found['routes']['to_adapter']:,} prompts went to the adapter" in shown.output


def test_a_language_of_the_adapter_outside_the_region_is_no_cue(tmp_path):
    tags = {"world": ["en"] * 300 + ["th"] * 300, "thai": ["th"] * N}
    _, found = switch_of(tmp_path, asked_in(grid(), tags))
    assert "th is a language of the adapter and of items outside the region" in found["reason"]
    assert not found["recommended"]


def test_items_of_the_region_on_the_global_side_are_no_reason(tmp_path):
    tags = {"world": ["en"] * 300 + ["th"] * 300, "thai": ["th"] * N}
    countries = [None] * 300 + ["th"] * 300
    _, found = switch_of(tmp_path, asked_in(grid(), tags, countries=countries))
    assert found["cue"]


def test_without_the_column_only_the_upper_bound_is_known(tmp_path):
    evidence, found = switch_of(tmp_path, grid())
    assert found["reason"] == "the language of the prompts is not recorded"
    assert "grp" not in found
    assert found["cue"] is None
    # Nothing says what the items are asked in: they go by the side of their task.
    adapter = evidence.outcomes[Cell(1.0, "thai", "test")].correct
    assert found["upper_bound"]["q_regional"]["value"] == pytest.approx(100 * adapter.mean())
    assert card_baselines(evidence, 0.5, "self") is None


def test_without_an_adapters_languages_it_is_on_in_the_official_ones(tmp_path):
    tags = {"world": ["en"] * N, "thai": ["th"] * N}
    evidence = write(tmp_path / "out", asked_in(grid(), tags))
    assert figures(evidence)["baselines"]["switch"]["languages"] == ["th"]


def test_one_model_has_no_baselines(tmp_path):
    evidence = write(tmp_path / "out", grid(shares={0.0: (0.8, 0.4)}))
    assert figures(evidence)["baselines"] == {}


@pytest.fixture(scope="module")
def assets(tmp_path_factory):
    """The demo's evidence, with the column; what is measured of it otherwise stays as it is."""
    root = shutil.copytree(ASSETS, tmp_path_factory.mktemp("world") / "assets")
    for family in ("embedding", "vlm", "diffusion"):
        place = FamilyFolders(root, DEMO_FAMILIES[family])
        for name in place.adapters:
            record_prompts(place, name)
    return root


@pytest.mark.slow
@pytest.mark.parametrize(
    ("adapter", "beta", "lead", "bound", "misrouted"),
    [
        ("embedding/th", 0.6, 3.17, 3.17, 0),
        ("vlm/th", 0.75, 6.61, 6.61, 0),
        ("diffusion/th", 0.75, 27.38, 27.38, 0),
        # Short names in Indonesian, Malay and Filipino are often taken for other languages.
        ("embedding/southeast-asia", 0.8, 15.47, 16.88, 1620),
    ],
)
def test_the_demo(assets, adapter, beta, lead, bound, misrouted):
    found = baselines(open_evidence(assets / adapter), beta)["switch"]
    assert found["over_merge"]["value"] == pytest.approx(lead, abs=0.005)
    assert found["upper_bound"]["over_merge"]["value"] == pytest.approx(bound, abs=0.005)
    assert found["routes"]["misrouted"] == misrouted
    assert found["recommended"]


def test_adding_the_column_changes_no_answer(assets):
    before, after = (
        read_predictions(root / "vlm" / "th" / "evidence" / "predictions.parquet")
        for root in (ASSETS, assets)
    )
    assert before.keys() == after.keys()
    for cell, found in after.items():
        assert set(found.details.prompt_languages) == {cell.task.split("-")[1]}
        for name in ("items", "gold", "predicted"):
            assert getattr(found, name) == getattr(before[cell], name)
        assert np.array_equal(found.rank, before[cell].rank)
        bare = replace(found.details, prompt_languages=before[cell].details.prompt_languages)
        assert bare == before[cell].details
    assert verify_evidence(assets / "vlm" / "th").problems == ()


def test_a_card_holds_them_and_they_are_recomputed(assets, tmp_path):
    folder = shutil.copytree(assets / "vlm" / "th", tmp_path / "th")
    recorded = card_baselines(open_evidence(folder), 0.75, "registry")
    document = read_card(folder / "README.md")

    def write_card(beside):
        card = document.card.model_copy(update={"baselines": beside})
        text = render_card(CardDocument(card, document.front_matter, document.prose))
        (folder / "README.md").write_text(text, encoding="utf-8")
        return verify_evidence(folder).problems

    assert write_card(recorded) == ()
    better = recorded.switch.over_merge.model_copy(update={"value": 9.0})
    wrong = recorded.model_copy(
        update={"switch": recorded.switch.model_copy(update={"over_merge": better})}
    )
    (problem,) = write_card(wrong)
    assert problem.startswith("baselines: switch: over_merge: value is 9")


TASKS = (make_task("en"), make_task("th"), make_task("th", "image_to_text_r1"))


class Counted(AnswerCache):
    """Answers that know how often one was computed."""

    def __init__(self, computed):
        super().__init__()
        self._computed = computed

    def keep(self, answers):
        super().keep(answers)
        self._computed.extend((id(self), key) for key in answers)


@pytest.fixture
def run(base, text_lora, dataset):
    def start(out, **options):
        model = StoredModel(base, (text_lora,), get_family("embedding"))
        return sweep(grid_on(model, (0, 0.5, 1)), prepare_tasks(TASKS, dataset), TH,
                     alpha_record(alpha(TH)), out, **options)  # fmt: skip

    return start


def test_the_average_is_of_normalised_embeddings_and_normalised(
    run, base, text_lora, dataset, tmp_path
):
    evidence = run(tmp_path / "out")
    family = get_family("embedding")
    models = [open_embedder(base, family, on) for on in (None, Adapted(text_lora, 1.0))]
    for task in prepare_tasks(TASKS, dataset):
        for split, asked in task.asked.items():
            pictures, texts = (
                np.mean(rows, axis=0)
                for rows in (
                    [m.encode_pictures(asked.pictures) for m in models],
                    [m.encode_texts(asked.questions.texts) for m in models],
                )
            )
            texts /= np.linalg.norm(texts, axis=1, keepdims=True)
            pictures /= np.linalg.norm(pictures, axis=1, keepdims=True)
            wanted = asked.questions.answer(pictures, texts)
            found = evidence.baselines["average"][Cell(0.5, task.id, split)]
            assert found.predicted == wanted.predicted
            assert np.array_equal(found.rank, wanted.rank)
    assert verify_evidence(tmp_path / "out").problems == ()
    entry = figures(evidence)["baselines"]["average"]
    assert {"q_others", "q_regional", "grp", "over_merge", "cost"} <= entry.keys()


def test_nothing_is_embedded_again_for_the_average(run, tmp_path):
    computed, steps = [], []
    run(
        tmp_path / "out",
        known=lambda *_: Counted(computed),
        progress=lambda done, total: steps.append((done, total)),
    )
    assert len(computed) == len(set(computed))
    texts = [key for _, key in computed if key.startswith("text ")]
    # Once for each beta of the grid.
    assert len(texts) == 3 * len(set(texts))
    assert steps[-1] == (4 * len(TASKS), 4 * len(TASKS))


def test_a_stopped_sweep_asks_the_average_on(run, tmp_path):
    run(tmp_path / "whole")

    class Stopped(Exception):
        pass

    def stop(done, total):
        if done == 10:
            raise Stopped

    with pytest.raises(Stopped):
        run(tmp_path / "out", progress=stop)
    run(tmp_path / "out")
    for name in ("results.json", "predictions.parquet", "average.parquet"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_changed_answer_of_the_average_is_found(run, tmp_path):
    run(tmp_path / "out")
    path = tmp_path / "out" / "average.parquet"
    right = pq.read_table(path).column("correct").to_pylist()
    change(path, "correct", 0, not right[0])
    problems = verify_evidence(tmp_path / "out").problems
    assert any("average.parquet has the sha256" in problem for problem in problems)
    assert any(problem.startswith("average: ") for problem in problems)
    path.unlink()
    problems = verify_evidence(tmp_path / "out").problems
    assert "average.parquet is missing, which holds the answers of a baseline" in problems


def test_a_recipe_names_a_joint_fine_tune(base, text_lora, dataset, tmp_path):
    (tmp_path / "tasks").mkdir()
    for task in TASKS[:2]:
        (tmp_path / "tasks" / f"{task.id}.yaml").write_text(
            json.dumps(task.model_dump(mode="json"))
        )
    rival = shutil.copytree(text_lora, tmp_path / "rival")
    config = json.loads((rival / "adapter_config.json").read_text())
    (rival / "adapter_config.json").write_text(
        json.dumps(config | {"lora_alpha": config["lora_alpha"] * 2})
    )
    recipe = {
        "kind": "sweep", "region": "th", "family": "embedding", "base": str(base), "alpha": 0.4,
        "adapter": str(text_lora), "joint": "rival", "tasks": "tasks", "data": str(dataset),
        "betas": [0, 1, 2],
    }  # fmt: skip
    (tmp_path / "sweep.yaml").write_text(json.dumps(recipe))
    done = CliRunner().invoke(
        cli,
        ["sweep", str(tmp_path / "sweep.yaml"), "-o", str(tmp_path / "out"), "--no-cache",
         "--hub", "http://127.0.0.1:9"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "joint fine-tune" in done.output
    assert "averaged outputs" in done.output
    evidence = open_evidence(tmp_path / "out")
    assert evidence.header.baselines["joint"].adapter.name == "rival"
    for cell, found in evidence.baselines["joint"].items():
        # Twice the scale at beta 1 is the swept adapter at beta 2.
        assert found.predicted == evidence.outcomes[cell._replace(beta=2.0)].predicted
