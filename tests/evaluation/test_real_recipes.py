"""The sweeps of real bases: they can be read, go with the merges, and ask all that their suites have."""

from __future__ import annotations

import json
import shutil

import datasets
import pytest
import yaml
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.evaluation.benchmarks.benchmark import find_benchmarks
from ggez_hub.evaluation.sweep.recipe import SweepRecipe
from ggez_hub.recipe_file import read_recipe, recipes_folder
from ggez_hub.regions import find_region
from tests.evaluation import benchmarks as made
from tests.evaluation.towers import SIGLIP, write_towers

SWEEPS = sorted(recipes_folder().glob("*/*.sweep.yaml"))


def name_of(path):
    return f"{path.parent.name}/{path.name}"


def test_there_is_one_for_each_region_and_family_that_has_a_benchmark():
    assert [name_of(path) for path in SWEEPS] == [
        "southeast-asia/embedding.sweep.yaml",
        "southeast-asia/vlm.sweep.yaml",
        "th/embedding.sweep.yaml",
        "th/vlm.sweep.yaml",
    ]


@pytest.mark.parametrize("path", SWEEPS, ids=name_of)
def test_it_goes_with_the_merge_and_has_two_sides(path):
    recipe = read_recipe(path, "sweep", SweepRecipe)
    merge = yaml.safe_load(path.with_name(f"{recipe.family}.yaml").read_text(encoding="utf-8"))
    assert (recipe.region, recipe.family, recipe.base) == (
        merge["region"], merge["family"], merge["base"]
    )  # fmt: skip
    assert recipe.adapters == tuple(it["adapter"] for it in merge["adapters"])
    assert recipe.blanks == ()
    # Nothing is left out of what could decide.
    assert recipe.limit is None
    asked = [b for suite in recipe.tasks for b in find_benchmarks(suite)]
    members = {*find_region(recipe.region).members, recipe.region, "world"}
    metrics = {
        side: {b.metric for b in asked if b.side == side and (side == "global" or members & {*b.regions})}
        for side in ("global", "regional")
    }  # fmt: skip
    assert metrics["global"] & metrics["regional"]
    larger = {part for b in asked for part in b.files if "worldcuisines" in b.dataset.repo}
    assert larger <= {"test_large"}


def test_the_thai_sweep_of_an_embedding_model_runs(tmp_path):
    """On a tiny SigLIP and a fine-tune of it, with data of the benchmarks' shape."""
    base = write_towers(tmp_path / "base", SIGLIP)
    tuned = shutil.copytree(base, tmp_path / "siglip2-adapter")
    weights = load_file(tuned / "model.safetensors")
    save_file(
        {n: t * 1.5 for n, t in weights.items()}, tuned / "model.safetensors", {"format": "pt"}
    )
    made.write_xm3600(tmp_path / "data" / "mteb" / "xm3600", 30)
    rows = [
        {"image": made.image(100 + n), "caption": [f"{n} {c}" for c in range(5)], "split": "test"}
        for n in range(30)
    ]
    features = {"image": datasets.Image(), "caption": made.TEXTS, "split": made.TEXT}
    flickr = tmp_path / "data" / "nlphuji" / "flickr30k" / "data" / "TEST-0.test.parquet"
    made.write(flickr, features, rows)
    text = (recipes_folder() / "th" / "embedding.sweep.yaml").read_text(encoding="utf-8")
    text = text.replace("google/siglip2-so400m-patch14-384@main", "base")
    place = tmp_path / "sweep.yaml"
    place.write_text(f"{text}data: data\nbetas: [0, 1]\n", encoding="utf-8")
    done = CliRunner().invoke(
        cli, ["sweep", str(place), "-o", str(tmp_path / "out"), "--hub", "http://127.0.0.1:9"]
    )
    assert done.exit_code == 0, done.output
    content = json.loads((tmp_path / "out" / "results.json").read_text())
    assert {key.rpartition("/")[0] for key in content["scores"]["1"]} == {
        "xm3600-en-to-image", "xm3600-th-to-image", "xm3600-en-to-text", "xm3600-th-to-text",
        "flickr30k-to-image", "flickr30k-to-text",
    }  # fmt: skip
