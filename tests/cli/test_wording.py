"""What people type by mistake, and what they are told."""

from __future__ import annotations

import errno
import os

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


def test_a_script_in_a_spec_is_described_not_its_pattern(tmp_path):
    path = tmp_path / "spec.yaml"
    rule = "{evidence: script, scripts: [Latin]}"
    path.write_text(SPEC.replace("{evidence: language, languages: [th]}", rule))
    found = run("filter", path, "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert "should be a script by its code of ISO 15924: Thai, Latn" in found.stderr
    assert "pattern" not in found.stderr


@pytest.mark.parametrize("command", ["pull", "resolve"])
def test_a_command_without_a_region_shows_how_to_name_one(command):
    found = run(command)
    assert found.exit_code == 2
    assert "Name it: --region th" in found.stderr


def test_a_misspelt_trust_is_not_taken_for_an_organisation():
    found = run("resolve", "--region", "th", "--trust", "curate")
    assert found.exit_code == 2
    assert "did you mean curated?" in str(found.exception) + found.stderr


def test_an_adapter_in_place_of_a_model_is_named_as_one(tmp_path):
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    found = run(
        "eval", tmp_path / "adapter", "--suite", "cvqa", "--region", "th", "-o", tmp_path / "out"
    )
    assert found.exit_code != 0
    assert "is an adapter, not a complete model" in str(found.exception) + found.stderr


@pytest.mark.parametrize(
    ("status", "message", "said"),
    [
        (401, "Invalid user token.", "does not accept the token: it answered 401, Invalid user token."),
        (403, "Forbidden: no write access", "may not do this: it answered 403, Forbidden: no write"),
        (503, None, "the hub is busy or out of order: it answered 503"),
        (418, "I am a\nteapot", "the hub refused: it answered 418, I am a teapot"),
    ],
)  # fmt: skip
def test_what_a_hub_answers_is_shown_without_the_clients_words(status, message, said):
    import httpx2
    from huggingface_hub.errors import HfHubHTTPError

    from ggez_hub.cli.errors import explain

    request = httpx2.Request("GET", "http://hub.example/api/models/org/name")
    response = httpx2.Response(status, request=request)
    text = f"{status} Client Error. (Request ID: Root=1-abc)\n\n{message}"
    shown = explain(HfHubHTTPError(text, response=response, server_message=message)).message
    assert said in shown
    assert "Request ID" not in shown


@pytest.mark.parametrize("kind", ["RepositoryNotFoundError", "GatedRepoError"])
def test_a_repository_that_is_not_shown_has_one_sentence(kind):
    import httpx2
    from huggingface_hub import errors

    from ggez_hub.cli.errors import explain

    request = httpx2.Request("GET", "http://hub.example/api/models/org/name")
    error = getattr(errors, kind)(
        "404 Client Error. (Request ID: Root=1-abc)", response=httpx2.Response(404, request=request)
    )
    error.repo_id = "org/name"
    shown = explain(error)
    assert "org/name" in shown.message
    assert "http://hub.example" in shown.message + shown.hint
    assert "Client Error" not in shown.message + shown.hint


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("license: mit", "licence: mit", "sources.0.licence: is not a known key; did you mean license?"),
        ("columns: {id: id", "columns: {id: id, fitlers: x", "fitlers: is not a known key"),
        ("keep: any", "keep: any, ruels: []", "keep_region.ruels: is not a known key; did you mean rules?"),
        ("pictures: ignored", "duplicates: {simliarity: 0.9}", "simliarity: is not a known key; did you mean similarity?"),
    ],
)  # fmt: skip
def test_a_misspelt_key_of_an_inner_block_offers_the_right_one(tmp_path, old, new, said):
    path = tmp_path / "spec.yaml"
    path.write_text(SPEC.replace(old, new))
    found = run("filter", path, "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert said in found.stderr, found.stderr


def test_a_step_of_a_workflow_by_hand_needs_an_event(monkeypatch):
    monkeypatch.delenv("GITHUB_EVENT_PATH", raising=False)
    found = run("ci", "check")
    assert found.exit_code == 1
    assert "there is no event: GITHUB_EVENT_PATH is not set" in found.stderr
    assert "--event FILE" in found.stderr


def test_memory_that_is_not_there_is_said():
    import torch

    from ggez_hub.cli.errors import explain

    # More than the addresses of a process.
    with pytest.raises(RuntimeError) as of_torch:
        torch.empty(1 << 60, dtype=torch.uint8)
    with pytest.raises(MemoryError) as of_python:
        bytearray(1 << 60)
    of_a_mapped_file = RuntimeError(
        "unable to mmap 8 bytes from file </a>: Cannot allocate memory (12)"
    )
    of_the_system = OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))
    of_a_library = ImportError("libtorch_cpu.so: failed to map segment from shared object")
    of_a_thread = RuntimeError("can't start new thread")
    for error in (
        of_torch.value, of_python.value, of_a_mapped_file, of_the_system, of_a_library, of_a_thread,
    ):  # fmt: skip
        assert explain(error).message == "there is not enough memory for this"
    denied = ImportError("a.so: failed to map segment from shared object: Operation not permitted")
    assert explain(denied).message == f"ImportError: {denied}"
    assert explain(RuntimeError("something else")).message == "RuntimeError: something else"


@pytest.mark.parametrize("model", ["nowhere", "./models/nowhere", "/nowhere/at/all"])
def test_a_model_that_is_not_there_is_not_looked_for_on_a_hub(tmp_path, model):
    found = run("eval", model, "--suite", "cvqa", "--region", "th", "-o", tmp_path / "out")
    assert found.exit_code == 2
    assert f"{model!r} is neither a folder in" in str(found.exception) + found.stderr
