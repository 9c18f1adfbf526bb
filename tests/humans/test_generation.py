"""Outputs of real models, through the evaluation's own code, and of results folders."""

from __future__ import annotations

import io

import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image, ImageChops

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS
from ggez_hub.evaluation.benchmarks.drawing_scores import Judged
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
from ggez_hub.evaluation.models import Adapted, model_in
from ggez_hub.evaluation.models.backend import find_backend
from ggez_hub.evaluation.results.evidence import open_evidence
from ggez_hub.families import detect_family
from ggez_hub.humans.study import SIDES, read_output, read_study
from ggez_hub.recipe_file import recipes_folder
from tests.evaluation import test_swept_drawings
from tests.evaluation.test_swept_drawings import KINDS, sweep

from .study_files import write_study

pytestmark = pytest.mark.slow

DRAWS, WRITES = ASSETS / "diffusion", ASSETS / "vlm"
PROMPTS = 2
world = test_swept_drawings.world


def models_on(folder, *betas):
    """The base, and its adapter at each beta."""
    named = {0.5: ("merged", "merged"), 1.0: ("unmerged", "unmerged")}
    return [
        {"name": "base", "role": "base", "folder": str(folder / "base")},
        *(
            {"name": named[beta][0], "role": named[beta][1], "folder": str(folder / "base"),
             "adapter": str(folder / "th"), "beta": beta}
            for beta in betas
        ),
    ]  # fmt: skip


def new(file, target):
    result = CliRunner().invoke(cli, ["humans", "new", str(file), "-o", str(target)])
    assert result.exit_code == 0, result.output
    return read_study(target)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The demo's data sets as OWNER/NAME, with two prompts a language, and its judge."""
    owner = tmp_path_factory.mktemp("data") / "ggez-world"
    owner.mkdir()
    (owner / "emoji-names").symlink_to(ASSETS / "emoji-names")
    (owner / "clip-emoji").symlink_to(ASSETS / "embedding" / "base")
    for path in (ASSETS / "emoji-prompts").rglob("*.parquet"):
        small = owner / path.relative_to(ASSETS)
        small.parent.mkdir(parents=True, exist_ok=True)
        table = pq.read_table(path)
        pq.write_table(table if path.stem == "candidates" else table.slice(0, PROMPTS), small)
    return owner.parent


def prompts(data):
    for language, side in (("en", "global"), ("th", "regional")):
        path = data / "ggez-world" / "emoji-prompts" / "data" / language / "test.parquet"
        for row in read_rows(path, {"id": "text", "prompt": "text"}):
            yield {"id": row["id"], "side": side, "language": language, "prompt": row["prompt"]}


def test_a_pipeline_draws_the_items_of_a_file_for_each_seed(tmp_path, data):
    rows = list(prompts(data))
    drawing = {"seeds": [0, 1], "steps": 2, "guidance": 1.0}
    file = write_study(
        tmp_path / "study", rows, models=models_on(DRAWS, 1.0), drawing=drawing, mismatched=0
    )
    study = new(file, tmp_path / "out")
    assert {item.id for item in study.items} == {f"{row['id']}/{s}" for row in rows for s in (0, 1)}
    family = detect_family(DRAWS / "base")
    backend = find_backend(family, tmp_path)
    assert study.by_name["base"].digest == model_in(DRAWS / "base", family, backend).digest
    adapted = Adapted(DRAWS / "th", 1.0)
    assert (
        study.by_name["unmerged"].digest
        == model_in(DRAWS / "base", family, backend, adapted).digest
    )
    shown = [item.outputs[name] for item in study.items for name in item.outputs]
    assert len(set(shown)) == len(shown)
    # Made again from what is kept, byte for byte.
    assert new(file, tmp_path / "again").digest == study.digest


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_of_a_results_folder_are_judged_as_they_are(world, tmp_path, kind):
    run = sweep(world, kind, tmp_path / "results", betas=[0, 0.5])
    assert run.exit_code == 0, run.output
    models = [
        {"name": "base", "role": "base", "results": "../results", "beta": 0.0},
        {"name": "merged", "role": "merged", "results": "../results", "beta": 0.5},
    ]
    items = {"results": "../results"}
    file = write_study(tmp_path / "study", [], models=models, items=items, mismatched=1)
    study = new(file, tmp_path / "out")
    evidence = open_evidence(tmp_path / "results")
    assert [m.digest for m in study.models] == [evidence.header.models[k] for k in ("0", "0.5")]
    judged = [item for item in study.items if not item.gold]
    sides = {side: {i.prompt for i in judged if i.item_side == side} for side in SIDES}
    # The global task has the region's prompts too: they are judged as the region's.
    assert all(sides.values())
    assert not sides["global"] & sides["regional"]
    for item in judged:
        for beta, model in ((0.0, "base"), (0.5, "merged")):
            drawn, number = recorded(evidence.tasks_at(beta, "test"), item.id)
            with Image.open(tmp_path / "results" / "pictures" / f"{drawn[number]}.png") as picture:
                content = read_output(tmp_path / "out", item.outputs[model])
                kept = Image.open(io.BytesIO(content))
                assert not ImageChops.difference(kept, picture.convert("RGB")).getbbox()
    # The same items, and a model that is asked here: it draws what the sweep drew.
    models[0] = {"name": "base", "role": "base", "beta": 0.0}
    models[0] |= {"folder": str(world / "base"), "adapter": str(world / "lora")}
    file = write_study(tmp_path / "mixed", [], models=models, items=items, mismatched=1)
    if kind == "asked":
        assert new(file, tmp_path / "both").digest == study.digest
    models[0] = {**models[1], "name": "base", "role": "base", "beta": 0.25}
    file = write_study(tmp_path / "lost", [], models=models, items=items)
    out = CliRunner().invoke(cli, ["humans", "new", str(file), "-o", str(tmp_path / "none")])
    assert "records no model at beta 0.25" in out.output


def recorded(tasks, name):
    """The pictures of an item of a study, TASK/ITEM/SEED, and which of them it is."""
    task, _, item = name.partition("/")
    outcomes = tasks[task]
    if item in outcomes.items:
        return [outcomes.details.raw[outcomes.items.index(item)]], 0
    item, _, seed = item.rpartition("/")
    drawn = Judged.from_text(outcomes.details.raw[outcomes.items.index(item)]).pictures
    return drawn, int(seed)


def test_answers_in_writing_are_for_those_who_read_them(tmp_path, data):
    suite = str(recipes_folder() / "demo" / "vlm")
    fields = {"items": {"suites": [suite], "data": str(data), "sample": 2}, "mismatched": 0}
    models = models_on(WRITES, 1.0)
    file = write_study(tmp_path / "study", [], models=models, **fields)
    study = new(file, tmp_path / "out")
    assert {item.language for item in study.items} == {"en", "th"}
    assert [item.item_side for item in study.items].count("global") == 2
    for item in study.items:
        assert item.picture is not None
        assert Image.open(io.BytesIO(read_output(tmp_path / "out", item.picture))).format == "PNG"
        assert {output.media for output in item.outputs.values()} == {"text"}
    raters = {"global": ["en"], "regional": ["en"]}
    file = write_study(tmp_path / "other", [], models=models, raters=raters, **fields)
    assert {item.language for item in new(file, tmp_path / "english").items} == {"en"}


def test_what_gives_nothing_to_judge_is_refused(tmp_path, data):
    models = [{"name": "base", "role": "base", "folder": str(ASSETS / "embedding" / "base")}]
    rows = list(prompts(data))
    for changes, message in (
        ({"models": models}, "gives nothing that people can judge"),
        ({"models": models_on(DRAWS)}, "answered in writing, and the model draws"),
    ):
        file = write_study(tmp_path / "study", rows, **changes)
        out = CliRunner().invoke(cli, ["humans", "new", str(file), "-o", str(tmp_path / "out")])
        assert out.exit_code == 2
        assert message in out.output
        assert not (tmp_path / "out").exists()
