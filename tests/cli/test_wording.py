"""What people type by mistake, and what they are told."""

from __future__ import annotations

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli


def run(*arguments):
    return CliRunner().invoke(cli, [*map(str, arguments)])


@pytest.mark.parametrize("command", ["alpha", "regions"])
def test_a_region_is_an_argument_or_an_option(command):
    found = run(command, "--region", "th")
    assert found.exit_code == 0
    assert found.stdout == run(command, "th").stdout
    both = run(command, "th", "--region", "vn")
    assert both.exit_code == 2
    assert "not both" in both.stderr


def test_alpha_of_nothing_is_wrong_usage():
    found = run("alpha")
    assert found.exit_code == 2
    assert "Name a region" in found.stderr


@pytest.mark.parametrize(
    ("scores", "hinted"),
    [((0.6, 0.5), True), ((60, 0.5), False), ((0, 0), False), ((60, 50), False)],
)
def test_shares_in_place_of_points(scores, hinted):
    found = run("grp", "--global", scores[0], "--regional", scores[1], "--alpha", "0.4")
    assert found.exit_code == 0
    assert ("write --global 60 --regional 50" in found.stderr) == hinted


SPEC = """kind: filter
region: th
sources:
  - name: a
    jsonl: a.jsonl
    license: mit
    columns: {id: id, examples: [{format: caption, answer: text, language: {value: th}}]}
keep_region: {keep: any, rules: [{evidence: language, languages: [th]}]}
pictures: ignored
"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("keep: any", "keep: some", "keep_region.keep: should be any or all, or should be a whole number"),
        ("evidence: language", "evidence: lang", "evidence lang is not known; it should be one of metadata,"),
        ("evidence: language, ", "", "keep_region.rules.0: needs the key 'evidence'"),
        ("jsonl: a.jsonl", "jsonl: 5", "should be text; put it in quotes, or should be a list"),
        ("format: caption", "format: captions", "format: should be caption, open_ended, multiple_choice or"),
        ("pictures: ignored", "duplicates: none", "should be a block of keys, or the word keep"),
        ("pictures: ignored", "keep_hours: 1", "keep_hours: is not a known key"),
        ("pictures: ignored", "translation: yes", "translation: should be a block of keys"),
    ],
)  # fmt: skip
def test_mistakes_in_a_spec_are_named_in_plain_words(tmp_path, old, new, said):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.replace(old, new))
    found = run("filter", path, "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert said in found.stderr
    for raw in ("input", "Input", "tag", "valid dictionary", "instance", "lambda", "pydantic"):
        assert raw not in found.stderr.replace("languages", "")


def test_a_recipe_without_a_method_lacks_the_method_alone(tmp_path):
    path = tmp_path / "train.yaml"
    path.write_text(
        "kind: train\nfamily: embedding\nregion: th\nbase: x\ndata: {filtered: y}\nbatch_size: 8\n"
    )
    found = run("train", path, "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert found.stderr.splitlines()[1:] == ["  line 1: method: is missing; add it"]


@pytest.fixture
def models(tmp_path):
    import torch
    from safetensors.torch import save_file

    for name, value in (("base", 0.0), ("tuned", 1.0)):
        (tmp_path / name).mkdir()
        file = tmp_path / name / "open_clip_model.safetensors"
        save_file({"visual.w": torch.full((4, 4), value)}, file)
        (tmp_path / name / "open_clip_config.json").write_text('{"model_cfg": {}}')
    return tmp_path


@pytest.mark.parametrize(
    ("adapter", "beta", "said"),
    [
        (
            "base",
            "0.5",
            "the result is the base, unchanged: base and the base have the same weights",
        ),
        ("tuned", "0", "the result is the base, unchanged: beta is 0"),
        ("tuned", "0.5", None),
    ],
)
def test_a_merge_that_changes_nothing_says_so(models, adapter, beta, said):
    found = run(
        "merge", "--base", models / "base", "--adapter", models / adapter, "--beta", beta,
        "-o", models / "out",
    )  # fmt: skip
    assert found.exit_code == 0
    assert "1 tensor, " in found.stdout
    assert (f"note: {said}" in found.stderr) == (said is not None)
    assert ("unchanged" in found.stderr) == (said is not None)


@pytest.mark.parametrize("group", ["kof", "card", "index", "registry", "ci", "reward"])
def test_no_line_of_a_groups_help_is_cut(group):
    found = run(group, "--help")
    assert found.exit_code == 0
    listed = found.stdout.partition("Commands:")[2]
    assert listed
    assert "..." not in listed.replace("CARDS...", "")


def test_broken_yaml_is_said_in_a_line(tmp_path):
    spec = tmp_path / "spec.yaml"
    spec.write_text("kind: filter\nregion: [th\nsources: []\n")
    found = run("filter", spec, "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert "(its line 3, column 8)" in found.stderr
    assert "unicode string" not in found.stderr


def test_the_size_of_a_small_index_has_its_unit(tmp_path):
    (tmp_path / "cards").mkdir()
    options = ["--allow-empty", "-o", tmp_path / "index.sqlite"]
    assert "0.0 MB" not in run("index", "build", tmp_path / "cards", *options).stdout
    assert " kB" in run("index", "build", tmp_path / "cards", *options).stdout
