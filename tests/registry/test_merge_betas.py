"""`merge --betas`: betas by part on the command line, in recipes, locks and cards."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub.cli.main import cli
from ggez_hub.registry.lock import read_any_lock

from ..models import write_lora, write_open_clip

WEIGHTS = "open_clip_model.safetensors"
DOCS = Path(__file__).parents[2] / "docs" / "merging.md"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a base, two LoRAs, and the example of the documentation."""
    place = tmp_path_factory.mktemp("folders")
    (place / "base").mkdir()
    write_open_clip(place / "base", torch.float16)
    write_lora(place / "lora", targets=r".*(c_fc|c_proj|token_embedding|conv1)")
    write_lora(place / "other", targets=r".*c_fc", seed=2)
    (example,) = re.findall(r"```yaml\n(kind: betas\n.*?)```", DOCS.read_text(), re.DOTALL)
    (place / "betas.yaml").write_text(example)
    return place


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def merge(folders, out, *more, betas="betas.yaml", beta=0.8):
    arguments = ["--base", folders / "base", "--adapter", folders / "lora", "--beta", beta]
    named = ["--betas", folders / betas] if betas else []
    return run("merge", *arguments, *named, *more, "-o", out)


def bytes_of(folder):
    return (folder / WEIGHTS).read_bytes()


def test_the_example_of_the_documentation_is_a_merge_by_part(folders, tmp_path):
    result = merge(folders, tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    said = json.loads(result.stdout)
    (weights,) = said["betas"]
    assert weights["beta"] == 0.8
    by_tensor = weights["by_tensor"]
    assert by_tensor["token_embedding.weight"] == 0
    assert by_tensor["visual.conv1.weight"] == 0.4
    block = "transformer.resblocks.{}.mlp.c_fc.weight"
    assert [by_tensor[block.format(n)] for n in (0, 1)] == [0.8 * 0.75, 0.8 * 1.25]
    assert "ln_final.bias" not in by_tensor
    # Each tensor is that of the plain merge at its beta.
    after = load_file(tmp_path / "out" / WEIGHTS)
    for beta, name in ((0.4, "visual.conv1.weight"), (0.8 * 0.75, block.format(0))):
        merge(folders, tmp_path / name, betas=None, beta=beta)
        assert torch.equal(after[name], load_file(tmp_path / name / WEIGHTS)[name])
    embedding = load_file(folders / "base" / WEIGHTS)["token_embedding.weight"]
    assert torch.equal(after["token_embedding.weight"], embedding)


def test_the_lock_keeps_the_parts_and_what_they_came_to(folders, tmp_path):
    result = merge(folders, tmp_path / "out")
    assert "by part: '^token_embedding" in result.stdout
    lock = read_any_lock(tmp_path / "out" / "ggez.lock")
    (adapter,) = lock.merge.adapters
    assert [part.tensors for part in adapter.parts.parts] == [
        r"^token_embedding\.", r"^visual\.", r"^transformer\.resblocks\.(\d+)\.",
    ]  # fmt: skip
    assert adapter.parts.betas["visual.proj"] == 0.4
    card = (tmp_path / "out" / "README.md").read_text()
    assert r"- betas of lora by part: '^visual\\.': 0.5 times the adapter's" in card
    assert run("verify", tmp_path / "out").exit_code == 0


def test_the_betas_are_in_the_merge_digest(folders, tmp_path):
    digests = set()
    for number, text in enumerate(
        ["{tensors: '^visual', beta: 0.4}", "{tensors: '^visual', beta: 0.5}"]
    ):
        (tmp_path / "betas.yaml").write_text(f"kind: betas\nparts: [{text}]\n")
        result = merge(folders, tmp_path / str(number), "--json", betas=tmp_path / "betas.yaml")
        digests.add(json.loads(result.stdout)["merge_digest"])
    plain = json.loads(merge(folders, tmp_path / "plain", "--json", betas=None).stdout)
    assert len({*digests, plain["merge_digest"]}) == 3
    # Two ways to write the same betas are the same merge.
    (tmp_path / "betas.yaml").write_text("kind: betas\nparts: [{tensors: '^visual', times: 0.5}]\n")
    result = merge(folders, tmp_path / "same", "--json", betas=tmp_path / "betas.yaml")
    assert json.loads(result.stdout)["merge_digest"] in digests


@pytest.mark.parametrize("old", ['"visual.proj": 0.4', '"tilt": 0.25'])
def test_a_lock_that_was_changed_is_found(folders, tmp_path, old):
    merge(folders, tmp_path / "out")
    lock = tmp_path / "out" / "ggez.lock"
    assert old in lock.read_text()
    lock.write_text(lock.read_text().replace(old, old.rpartition(" ")[0] + " 0.3"))
    result = run("verify", tmp_path / "out")
    assert result.exit_code == 1
    assert "is not what its lock says" in result.stderr


def test_a_recipe_names_a_file_for_each_adapter(folders, tmp_path):
    recipe = tmp_path / "merge.yaml"
    recipe.write_text(
        f"kind: merge\nbase: {folders / 'base'}\nadapters:\n"
        f"  - {{adapter: {folders / 'lora'}, beta: 0.8, betas: parts/betas.yaml}}\n"
        f"  - {{adapter: {folders / 'other'}, beta: 0.3}}\n"
    )
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "betas.yaml").write_text((folders / "betas.yaml").read_text())
    result = run("merge", "--recipe", recipe, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    first, second = json.loads(result.stdout)["betas"]
    assert first["by_tensor"]["visual.proj"] == 0.4
    assert second == {"beta": 0.3, "by_tensor": None}


def test_one_file_is_for_every_adapter(folders, tmp_path):
    more = ["--adapter", folders / "other", "--beta", 0.2]
    result = merge(folders, tmp_path / "one", *more, "--json")
    betas = json.loads(result.stdout)["betas"]
    assert [b["by_tensor"]["visual.proj"] for b in betas] == [0.4, 0.1]
    merge(folders, tmp_path / "two", *more, "--betas", folders / "betas.yaml")
    assert bytes_of(tmp_path / "one") == bytes_of(tmp_path / "two")
    third = ["--betas", folders / "betas.yaml"] * 2
    result = merge(folders, tmp_path / "three", *more, *third)
    assert result.exit_code == 2
    assert "2 adapters and 3 files of betas by part" in result.stderr


def test_what_does_not_fit_is_wrong_usage_and_leaves_nothing(folders, tmp_path):
    (tmp_path / "betas.yaml").write_text("kind: betas\nparts: [{tensors: vision_tower, beta: 0}]\n")
    result = merge(folders, tmp_path / "out", betas=tmp_path / "betas.yaml")
    assert result.exit_code == 2
    assert "parts.0.tensors: 'vision_tower' finds none of the base's" in result.stderr
    (tmp_path / "betas.yaml").write_text("kind: betas\nparts:\n- {tensors: '(?=a)', beta: 0}\n")
    result = merge(folders, tmp_path / "out", betas=tmp_path / "betas.yaml")
    assert result.exit_code == 2
    assert "line 3: parts.0: '(?=a)' is not an expression of RE2" in result.stderr
    assert not (tmp_path / "out").exists()
