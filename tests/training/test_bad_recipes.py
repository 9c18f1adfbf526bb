"""Bad recipes: each fails before any step, with the key that is off and a way out."""

from __future__ import annotations

import copy
import json

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
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
    "unknown key": ({"learning_rat": 1}, ": learning_rat: is no key here"),
    "nested key": ({"lora": {"rank": 8}}, "lora.rank: is no key here"),
    "key of another family": ({"vision": "trained"}, "vision: is no key here"),
    "missing": ({"region": None}, "region: is missing"),
    "region": ({"region": "atlantis"}, "region: is no region"),
    "family": ({"family": "audio"}, "family: input should be 'embedding', 'diffusion' or 'vlm'"),
    "base": ({"base": "nowhere"}, "base: 'nowhere' is neither a folder in"),
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
    "seed": ({"seed": "x"}, "seed: input should be a valid integer"),
}  # fmt: skip


def refused(path, out):
    """The message of a run that may take no step and leaves nothing."""
    done = CliRunner().invoke(cli, ["train", str(path), "-o", str(out)])
    assert done.exit_code in {1, 2}, done.output
    assert "Traceback" not in done.output
    assert "report it" not in done.output
    assert not out.exists()
    assert not list(out.parent.glob(f".{out.name}.training/*/tune"))
    return done.output


@pytest.mark.parametrize("name", BAD)
def test_a_bad_recipe_is_refused_before_any_step(material, tmp_path, name):
    keys, message = BAD[name]
    asked = {key: value for key, value in recipe(**keys).items() if value is not None}
    path = material / f"bad-{name.replace(' ', '-')}.yaml"
    path.write_text(json.dumps(asked, indent=1))
    assert message in refused(path, tmp_path / "out")


def test_pictures_that_do_not_exist_are_named(material, tmp_path):
    path = write_recipe(
        material / "no-picture.yaml",
        data=rows(material, "nowhere.png"),
        batch_size=1,
        micro_batch=1,
    )
    said = refused(path, tmp_path / "out")
    assert "data.sources: pictures cannot be read: the file is missing (1)" in said
    assert "nowhere.png" in said


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
