"""Drawings are named by a judge that sees them; the control shuffles the prompts."""

from __future__ import annotations

import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from diffusers import DiffusionPipeline
from peft import LoraConfig
from PIL import Image

from demo_world.control import shuffle_drawings
from ggez_hub.demo.hub import ASSETS
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import Cell, Details, Outcomes
from ggez_hub.evaluation.answers.scores import mean_difference, score_of
from ggez_hub.evaluation.benchmarks.benchmark import Drawing as How
from ggez_hub.evaluation.benchmarks.drawings import Judges, Places, prepare_drawings
from ggez_hub.evaluation.benchmarks.recognition import RecognitionJudge
from ggez_hub.evaluation.benchmarks.task import DrawingSettings, DrawingTask, load_tasks
from ggez_hub.evaluation.models import grid_on
from ggez_hub.evaluation.models.backend import find_backend
from ggez_hub.evaluation.models.drawing_model import Order, Pipeline
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.measured_curve import curve_rows
from ggez_hub.evaluation.sweep.run import measure
from ggez_hub.families import get_family
from ggez_hub.recipe_file import recipes_folder
from tests.diffusion.pipelines import write_pipeline

CLIP, NAMES = ASSETS / "embedding" / "base", ASSETS / "emoji-names"
DEMO = recipes_folder() / "demo" / "diffusion"
TASKS = load_tasks(DEMO, DrawingTask)
REFERENCES = TASKS[0].judge.references
IDS = ("1f353", "1f992", "1f6b2", "2602", "1f3b8", "1f511")


def outcomes(predicted, gold, seeds=2):
    correct = np.array([a == b for a, b in zip(predicted, gold, strict=True)])
    return Outcomes(
        items=tuple(f"{name}/{n % seeds}" for n, name in enumerate(gold)),
        gold=tuple(gold),
        predicted=tuple(predicted),
        rank=np.where(correct, 1, 2).astype(np.int32),
        correct=correct,
        chance=np.full(len(gold), 0.25),
        details=Details.of(len(gold), images=gold),
    )


def test_shuffled_prompts_take_all_from_a_model_that_draws_what_is_asked():
    gold = [name for name in "abcd" for _ in range(2)]
    perfect = outcomes(gold, gold)
    control = shuffle_drawings(perfect)
    assert control.correct.sum() == 0
    assert mean_difference([perfect], [control]).value == 100


def test_shuffled_prompts_take_nothing_from_a_model_that_draws_one_thing():
    gold = [name for name in "abcd" for _ in range(2)]
    stubborn = outcomes(["a"] * 8, gold)
    assert score_of(shuffle_drawings(stubborn)).score == score_of(stubborn).score == 25


def test_intervals_are_over_prompts_not_over_drawings():
    gold = [name for name in "abcdefgh" for _ in range(50)]
    found = score_of(outcomes([name if name < "e" else "x" for name in gold], gold, seeds=50))
    assert (found.n, found.pictures) == (400, 8)
    assert found.se == pytest.approx(100 * (0.25 / 7) ** 0.5)


@pytest.fixture(scope="module")
def judge():
    return RecognitionJudge(CLIP, IDS, NAMES, REFERENCES, 32)


def test_the_judge_knows_its_own_pictures(judge):
    table = pq.read_table(NAMES / "data" / "test.parquet", columns=["id", "image"])
    stored = dict(zip(*(c.to_pylist() for c in table.columns), strict=True))
    pictures = [Image.open(io.BytesIO(stored[name]["bytes"])).convert("RGB") for name in IDS]
    similarity = judge.similarity(pictures)
    assert similarity.shape == (6, 6)
    assert similarity.argmax(axis=1).tolist() == [0, 1, 2, 3, 4, 5]
    assert (similarity <= 1 + 1e-5).all()


def test_a_candidate_without_a_picture_is_refused():
    with pytest.raises(GgezError, match="ffff"):
        RecognitionJudge(CLIP, [*IDS, "ffff"], NAMES, REFERENCES, 32)


@pytest.fixture(scope="module")
def drawer(tmp_path_factory):
    """A tiny pipeline that draws noise, a LoRA for it, and prompts."""
    folder = tmp_path_factory.mktemp("drawing")
    base = write_pipeline("sd15", folder / "base")
    pipeline = DiffusionPipeline.from_pretrained(base)
    pipeline.unet.add_adapter(LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_v"]))
    for name, parameter in pipeline.unet.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter.data, std=0.5)
    pipeline.unet.save_lora_adapter(folder / "adapter")
    (folder / "adapter" / "pytorch_lora_weights.safetensors").rename(folder / "lora.safetensors")
    for language in ("en", "th"):
        for split in ("validation", "test"):
            path = folder / "prompts" / "data" / language / f"{split}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [{"id": name, "prompt": f"a {name}"} for name in IDS[:2]]
            pq.write_table(pa.Table.from_pylist(rows), path)
    candidates = pa.table({"id": list(IDS)})
    pq.write_table(candidates, folder / "prompts" / "data" / "candidates.parquet")
    places = Places(folder / "prompts", CLIP, NAMES)
    return StoredModel(base, (folder / "lora.safetensors",), get_family("diffusion")), places


def test_every_prompt_is_drawn_with_every_seed_at_every_beta(drawer, tmp_path):
    model, places = drawer
    tasks = [
        t.model_copy(update={"drawing": DrawingSettings(seeds=3, steps=2, guidance=2.0)})
        for t in TASKS
    ]
    judges = Judges()
    prepared = [prepare_drawings(t, places, judges, ("validation", "test")) for t in tasks]
    way = find_backend(model.family, tmp_path)
    drawn = measure(grid_on(model, (0.0, 1.0), way), prepared)
    assert len(drawn.outcomes) == 2 * 2 * 2
    found = drawn.outcomes[Cell(1.0, "emoji-th-drawing", "test")]
    assert found.items == tuple(f"{name}/{seed}" for name in IDS[:2] for seed in range(3))
    assert found.chance.tolist() == [1 / 6] * 6
    assert score_of(found).pictures == 2
    curve = curve_rows(drawn.outcomes, drawn.records(), drawn.models, measured_by="registry",
                       evaluator="test", predictions="unknown")  # fmt: skip
    assert set(curve) == {"0", "1"}
    row = curve["1"]["emoji-th-drawing/test"]
    assert row.scale == "drawing_top1 by efficientnet-lite0 on noto and fluent-emoji-flat"
    assert row.model != curve["0"]["emoji-th-drawing/test"].model


def test_a_drawing_does_not_depend_on_the_others_of_its_batch(drawer):
    painter = Pipeline(drawer[0].base, get_family("diffusion"))
    asked = [("a market", 0), ("a picture", 1), ("a market", 1)]
    orders = [Order(p, s, How(seeds=[s], steps=2, guidance=2.0)) for p, s in asked]
    together, alone = (
        [np.asarray(Image.open(io.BytesIO(file))).astype(int) for file in files]
        for files in (painter.draw_together(orders), painter.draw(orders))
    )
    for one, other in zip(together, alone, strict=True):
        assert abs(one - other).max() <= 1
    assert together[0].tolist() != together[2].tolist()


def test_a_task_needs_regions_on_the_regional_side_alone(tmp_path):
    text = (DEMO / "emoji-drawing.yaml").read_text(encoding="utf-8")
    (tmp_path / "bad.yaml").write_text(text.replace("regions: [th]", "regions: []"))
    with pytest.raises(GgezError, match="regions"):
        load_tasks(tmp_path, DrawingTask)


def test_what_decides_a_score_decides_the_digest():
    task = TASKS[0]
    assert task.model_copy(update={"title": "another"}).digest_on("0") == task.digest_on("0")
    more = task.model_copy(update={"drawing": DrawingSettings(seeds=5, steps=20, guidance=3.0)})
    assert more.digest_on("0") != task.digest_on("0") != task.digest_on("1")
