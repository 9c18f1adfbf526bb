"""Bad recipes: each fails before any step, with the key that is off and a way out."""

from __future__ import annotations

import copy
import json
import resource
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.training.job import read_training
from tests.training.material import CAPTIONS, recipe, write_recipe


def captions(**changes):
    asked = copy.deepcopy(CAPTIONS)
    asked["sources"][0] |= changes
    return asked


def named(column):
    return captions(
        columns={"picture": "image", "examples": [{"format": "caption", "answer": column}]}
    )


def rows(folder, picture):
    """A data set of JSON lines whose pictures are paths."""
    folder.joinpath("rows.jsonl").write_text(json.dumps({"pic": picture, "text": "a dish"}) + "\n")
    return {
        "sources": [
            {
                "name": "rows", "jsonl": "rows.jsonl", "pictures": ".", "license": "cc0-1.0",
                "columns": {"picture": "pic", "examples": [{"format": "caption", "answer": "text"}]},
            }
        ]
    }  # fmt: skip


BAD = {
    "unknown key": ({"learning_rat": 1}, ": learning_rat: is not a known key"),
    "spelling": ({"optimizer": {}}, "optimizer: is not a known key; did you mean optimiser?"),
    "nested key": ({"lora": {"rank": 8}}, "lora.rank: is not a known key"),
    "key of another family": ({"vision": "trained"}, "vision: is not a known key"),
    "missing": ({"region": None}, "region: is missing"),
    "region": ({"region": "atlantis"}, "region: is not a region"),
    "family": ({"family": "audio"}, "family: must be one of embedding, diffusion, vlm"),
    "base": ({"base": "nowhere"}, "'nowhere' is neither a path in"),
    "base without a repository": ({"base_repo": None}, "base_repo: is missing"),
    "targets": ({"lora": {"target_modules": ["q_prj"]}}, "lora.target_modules: 'q_prj' matches no module"),
    "target pattern": ({"lora": {"target_modules": ".*nope"}}, "lora.target_modules: '.*nope' matches no"),
    "targets in the other tower": (
        {"towers": "text", "lora": {"target_modules": ["visual_projection"]}},
        "lora.target_modules: 'visual_projection' matches no module",
    ),
    "full with lora": ({"method": "full", "lora": {"r": 2}}, "method full has no lora"),
    "no filter's folder": ({"data": {"filtered": "captions"}}, "data.filtered: "),
    "no data": ({"data": {}}, "data: needs either filtered"),
    "column": ({"data": named("kaption")}, "data.sources.0: source colours: there is no column 'kaption'"),
    "validation column": (
        {"validation": named("kaption")}, "validation.sources.0: source colours: there is no column",
    ),
    "empty validation": (
        {"validation": {"share": 0.0001}}, "validation: has 0 examples",
    ),
    "too few": ({"batch_size": 64}, "data: has 24 examples that embedding can be trained on"),
    "early stop": ({"early_stop": {"patience": 2}}, "early_stop needs a validation set"),
    "micro batch": ({"micro_batch": 9}, "micro_batch is part of batch_size"),
    "seed": ({"seed": "x"}, "seed: should be a whole number"),
    "rate that is no number": (
        {"optimiser": {"learning_rate": float("nan")}}, "optimiser.learning_rate: should be a",
    ),
    "negative steps": ({"max_steps": -3}, "max_steps: should be greater than or equal to 1"),
    "one pair": ({"batch_size": 1, "micro_batch": 1}, "batch_size: should be greater than or equal to 2"),
    "no targets": (
        {"lora": {"target_modules": []}},
        " lora.target_modules: should be text; put it in quotes, or should have at least 1 item",
    ),
    "validation on what is trained on": (
        {"validation": CAPTIONS}, "validation: 24 of its 24 examples are trained on too, colours/0-0/caption",
    ),
    "base of another family": ({"base": "chatter"}, "base: "),
    "base without a pipeline": ({"family": "diffusion"}, "base: "),
}  # fmt: skip


def refused(path, out):
    """The message of a run that may take no step and leaves nothing."""
    done = CliRunner().invoke(cli, ["train", str(path), "-o", str(out)])
    assert done.exit_code in {1, 2}, done.output
    assert "Traceback" not in done.output
    assert "report it" not in done.output
    assert not out.exists()
    assert not list(out.parent.glob(f".{out.name}.training/*/tune"))
    if done.exit_code == 2:
        assert not list(out.parent.iterdir())
    return done.output


@pytest.mark.parametrize("name", BAD)
def test_a_bad_recipe_is_refused_before_any_step(material, tmp_path, name):
    keys, message = BAD[name]
    asked = {key: value for key, value in recipe(**keys).items() if value is not None}
    path = material / f"bad-{name.replace(' ', '-')}.yaml"
    path.write_text(json.dumps(asked, indent=1))
    assert message in refused(path, tmp_path / "out")


@pytest.mark.parametrize(
    ("picture", "reason"),
    [
        ("nowhere.png", "the file is missing"),
        ("../outside.png", "its path leaves the folder"),
        ("rows.jsonl", "it is damaged"),
        ("https://example.org/a.png", "it is an address, not a file"),
    ],
)
def test_pictures_that_cannot_be_read_are_named(material, tmp_path, picture, reason):
    path = write_recipe(material / "no-picture.yaml", data=rows(material, picture))
    said = refused(path, tmp_path / "out")
    assert f"data.sources: pictures cannot be read: {reason} (1)" in said
    assert picture in said


@pytest.mark.parametrize("key", ["data", "validation"])
def test_data_without_a_row_is_refused(material, tmp_path, key):
    asked = rows(material, "nowhere.png")
    (material / "rows.jsonl").write_text("")
    path = write_recipe(material / "no-rows.yaml", **{key: asked})
    assert f"{key}: has 0 examples" in refused(path, tmp_path / "out")


def test_why_rows_are_not_used_is_said_where_too_few_are_left(material, tmp_path):
    asked = rows(material, "red-0.png")
    del asked["sources"][0]["columns"]["picture"], asked["sources"][0]["pictures"]
    path = write_recipe(material / "unseen.yaml", data=asked)
    assert "a batch takes 8 (not used: no picture: 1)" in refused(path, tmp_path / "out")


BROKEN_BASES = {
    "no tokenizer": ("tokenizer*", None, "base: "),
    "no image processor": ("preprocessor*", None, "base: transformers cannot load"),
    "cut weights": ("model.safetensors", -100, "base: transformers cannot load"),
}


@pytest.mark.parametrize("name", BROKEN_BASES)
def test_a_base_that_cannot_be_loaded_is_named(material, tmp_path, name):
    pattern, length, message = BROKEN_BASES[name]
    folder = tmp_path / "broken" / "base"
    shutil.copytree(material / "base", folder)
    for file in folder.glob(pattern):
        content = file.read_bytes()
        file.unlink()
        if length is not None:
            file.write_bytes(content[:length])
    path = write_recipe(tmp_path / "broken" / "r.yaml", data=absolute(material))
    assert message in refused(path, tmp_path / "out")


def test_a_base_in_float8_is_refused(material, tmp_path):
    folder = tmp_path / "float8" / "base"
    shutil.copytree(material / "base", folder)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "fp8"}
    (folder / "config.json").write_text(json.dumps(config))
    path = write_recipe(tmp_path / "float8" / "r.yaml", data=absolute(material))
    assert "is quantised (fp8), which is not trained" in refused(path, tmp_path / "out")


def absolute(material):
    return captions(imagefolder=str(material / "captions"))


def test_a_small_batch_needs_no_word_on_what_is_computed_at_once(material):
    keys = {key: value for key, value in recipe().items() if key != "micro_batch"}
    path = material / "small.yaml"
    path.write_text(json.dumps(keys))
    assert read_training(path).micro_batch == 8


def test_a_full_disk_is_one_error_and_nothing_is_lost(material, tmp_path):
    """Files may not grow beyond a limit: the state of the first steps does not fit."""
    path = write_recipe(material / "full-disk.yaml", lora={"r": 64}, checkpoint_every=1)
    out = tmp_path / "out"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, before[1]))
    try:
        done = CliRunner().invoke(cli, ["train", str(path), "-o", str(out)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert done.exit_code == 1
    assert "error: no room to write: File too large" in done.output
    assert not out.exists()
    done = CliRunner().invoke(cli, ["train", str(path), "-o", str(out)])
    assert done.exit_code == 0, done.output


def test_without_its_extra_the_command_says_what_to_install():
    """As in an installation of the core: torch cannot be found."""
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *more: None if name == 'torch' else find(name, *more)\n"
        "from ggez_hub.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "train", __file__, "-o", "nowhere"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "this needs torch, which is not installed" in done.stderr
    assert "pip install 'ggez-hub[train]'" in done.stderr


def test_a_chat_without_an_end_of_a_reply_is_refused_before_any_step(material, tmp_path):
    path = write_recipe(
        material / "seer.yaml", family="vlm", base="seer", lora={"r": 2, "alpha": 2}
    )
    assert "does not write a chat as the beginning" in refused(path, tmp_path / "out")


def test_an_output_of_something_else_is_left_alone(material, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("years of work")
    path = write_recipe(material / "elsewhere.yaml")
    done = CliRunner().invoke(cli, ["train", str(path), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "is not the result of this recipe" in done.output
    assert (tmp_path / "out" / "thesis.txt").read_text() == "years of work"
