"""`merge` leaves a card and a lock beside the weights; a recipe does what the options do."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from huggingface_hub import ModelCard, constants
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.digests import sha256_file
from ggez_hub.embedded.store import HubStore
from ggez_hub.recipe_file import read_recipe, recipes_folder
from ggez_hub.registry.local_merge.inputs import MergeRecipe, on_disk, repository
from ggez_hub.registry.lock import MergeLock, read_any_lock

from ..families.architectures import LLAMA_MODEL, write_adapter, write_base, write_shards
from ..models import write_lora, write_open_clip
from ..worlds import serving
from .declared import upload

WEIGHTS = "open_clip_model.safetensors"


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A folder with a base, a LoRA and a full fine-tune, each with a card of its own."""
    place = tmp_path_factory.mktemp("folders")
    (place / "base").mkdir()
    base = write_open_clip(place / "base", torch.float16)
    (base / "README.md").write_text(
        "---\nlicense: mit\npipeline_tag: zero-shot-image-classification\n---\nthe base's card"
    )
    lora = write_lora(place / "lora", targets=["c_fc"])
    (lora / "README.md").write_text("---\nlicense: mit\n---\n")
    shutil.copytree(base, place / "tuned")
    state = {name: t + t if "ln_" in name else t for name, t in load_file(base / WEIGHTS).items()}
    save_file(state, place / "tuned" / WEIGHTS)
    return place


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def merge(folders, out, *more):
    arguments = ["--base", folders / "base", "--adapter", folders / "lora", "--beta", 0.4, *more]
    result = run("merge", *arguments, "-o", out)
    assert result.exit_code == 0, result.output
    return result


def files(folder):
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }


class TestLeaves:
    def test_a_card_and_a_lock(self, folders, tmp_path):
        said = json.loads(merge(folders, tmp_path / "out", "--json").stdout)
        lock = read_any_lock(tmp_path / "out" / "ggez.lock")
        assert isinstance(lock, MergeLock)
        assert said["merge_digest"] == lock.merge.digest
        base, (adapter,) = lock.merge.base, lock.merge.adapters
        assert base.files == {WEIGHTS: sha256_file(folders / "base" / WEIGHTS)}
        assert adapter.files == {
            name: sha256_file(folders / "lora" / name)
            for name in ("adapter_config.json", "adapter_model.safetensors")
        }
        assert (adapter.form, adapter.beta, lock.merge.method) == (
            "PEFT folder", 0.4, "ggez_linear",
        )  # fmt: skip
        there = files(tmp_path / "out")
        assert lock.outputs.keys() == there.keys() - {"ggez.lock"}
        card = ModelCard((tmp_path / "out" / "README.md").read_text())
        assert card.data.license == "mit"
        assert card.data.library_name == "open_clip"
        assert card.data.pipeline_tag == "zero-shot-image-classification"
        assert card.data.base_model is None
        assert "base + 0.4 * Delta of lora" in card.text
        assert "the base's card" not in card.text
        # Where the folders lie is nobody's business.
        for name in ("README.md", "ggez.lock"):
            assert str(folders).encode() not in there[name]

    def test_the_same_again_has_the_same_bytes(self, folders, tmp_path):
        for name in ("one", "two"):
            merge(folders, tmp_path / name)
        assert files(tmp_path / "one") == files(tmp_path / "two")

    def test_a_licence_that_nobody_says_is_not_invented(self, folders, tmp_path):
        merge(folders, tmp_path / "out", "--adapter", folders / "tuned" / ".." / "tuned")
        card = (tmp_path / "out" / "README.md").read_text()
        assert ModelCard(card).data.license == "mit"
        (folders / "lora" / "README.md").rename(folders / "lora" / "kept")
        try:
            merge(folders, tmp_path / "other")
        finally:
            (folders / "lora" / "kept").rename(folders / "lora" / "README.md")
        card = (tmp_path / "other" / "README.md").read_text()
        assert ModelCard(card).data.license is None
        assert "(licence: unknown)" in card

    def test_neither_card_nor_lock_of_the_base(self, folders, tmp_path):
        merge(folders, tmp_path / "first")
        arguments = ["--adapter", folders / "lora", "--beta", 0.2]
        result = run("merge", "--base", tmp_path / "first", *arguments, "-o", tmp_path / "second")
        assert result.exit_code == 0, result.output
        lock = read_any_lock(tmp_path / "second" / "ggez.lock")
        assert lock.merge.base.name == "first"
        assert run("verify", tmp_path / "second").exit_code == 0

    def test_inputs_in_the_cache_are_known_by_their_repository(self, folders, tmp_path):
        commit = "0123456789abcdef" * 2 + "01234567"
        cached = tmp_path / "hub" / "models--org--clip-th" / "snapshots" / commit
        shutil.copytree(folders / "base", cached)
        source = on_disk(cached)
        assert (source.repo, source.revision) == ("org/clip-th", commit)
        arguments = ["--adapter", folders / "lora", "--beta", 0.2, "-o", tmp_path / "out"]
        assert run("merge", "--base", cached, *arguments).exit_code == 0
        card = ModelCard((tmp_path / "out" / "README.md").read_text())
        assert card.data.base_model == "org/clip-th"
        assert commit in card.text

    @pytest.mark.parametrize("named", ["org/clip-th", "org/another", "/home/me/clip", None])
    def test_an_adapter_that_names_another_base(self, folders, tmp_path, named):
        cached = tmp_path / "models--org--clip-th" / "snapshots" / ("0" * 40)
        shutil.copytree(folders / "base", cached)
        lora = shutil.copytree(folders / "lora", tmp_path / "lora")
        path = lora / "adapter_config.json"
        path.write_text(
            json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": named})
        )
        arguments = ["--adapter", lora, "--beta", 0.2, "-o", tmp_path / "out", "--json"]
        result = run("merge", "--base", cached, *arguments)
        assert result.exit_code == 0, result.output
        remark = "lora claims to be trained on org/another; this base is org/clip-th"
        unnamed = (
            "lora names no base, and what identifies clip-th as its base is that names and shapes of "
            "tensors fit: other weights of the same shapes would, too"
        )
        of = {"org/clip-th": [], "org/another": [remark]}
        expected = of.get(named, [unnamed])
        said = json.loads(result.stdout)["remarks"]
        assert [text.replace("org/clip-th as", "clip-th as") for text in said] == expected
        assert ("note: " in result.stderr) == bool(expected)

    def test_a_lora_on_a_folder_that_nothing_identifies(self, folders, tmp_path):
        result = run("merge", "--base", folders / "base", "--adapter", folders / "lora",
                     "--adapter", folders / "tuned", "--beta", 0.2, "-o", tmp_path / "out")  # fmt: skip
        (note,) = (line for line in result.stderr.splitlines() if line.startswith("note: "))
        assert "lora names no base" in note


class TestVerify:
    def test_what_merge_left(self, folders, tmp_path):
        merge(folders, tmp_path / "out")
        result = run("verify", tmp_path / "out", "--json")
        assert result.exit_code == 0
        assert json.loads(result.stdout)["ok"] is True

    @pytest.mark.parametrize("how", ["a byte", "a file", "the lock", "the card"])
    def test_what_was_changed_since(self, folders, tmp_path, how):
        merge(folders, tmp_path / "out")
        weights, lock = tmp_path / "out" / WEIGHTS, tmp_path / "out" / "ggez.lock"
        if how == "a byte":
            data = bytearray(weights.read_bytes())
            data[-1] ^= 1
            weights.write_bytes(data)
        elif how == "a file":
            (tmp_path / "out" / "tokenizer_config.json").unlink()
        elif how == "the lock":
            lock.write_text(lock.read_text().replace('"beta": 0.4', '"beta": 0.9'))
        else:
            card = tmp_path / "out" / "README.md"
            card.write_text(card.read_text().replace("beta 0.4", "beta 0.1"))
        result = run("verify", tmp_path / "out")
        assert result.exit_code == 1
        assert "is not what its lock says" in result.stderr
        assert "Merge it again" in result.stderr

    def test_a_pull_does_not_take_it_for_its_own(self, folders, tmp_path):
        merge(folders, tmp_path / "out")
        before = files(tmp_path / "out")
        arguments = ["--hub", "http://127.0.0.1:9", "--region", "th", "--locked"]
        result = run("pull", *arguments, "-o", tmp_path / "out")
        assert result.exit_code == 1
        assert "lock" in result.stderr
        assert files(tmp_path / "out") == before


RECIPE = """\
kind: merge
title: A test
region: th
family: embedding
base: ../base
adapters:
  - {adapter: ../lora, beta: 0.4}
  - adapter: ../tuned
    beta: 0.25
method: ties
"""


class TestRecipe:
    def write(self, folders, text):
        path = folders / "recipes" / "merge.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def test_does_what_the_options_do(self, folders, tmp_path):
        recipe = self.write(folders, RECIPE)
        result = run("merge", "--recipe", recipe, "-o", tmp_path / "recipe")
        assert result.exit_code == 0, result.output
        assert "cos(Delta_1, Delta_2)" in result.stdout
        more = ["--adapter", folders / "tuned", "--beta", 0.25, "--method", "ties"]
        merge(folders, tmp_path / "options", *more)
        assert files(tmp_path / "recipe") == files(tmp_path / "options")

    def test_in_an_adapter_form(self, folders, tmp_path):
        recipe = self.write(folders, RECIPE.replace("  - adapter: ../tuned\n    beta: 0.25\n", ""))
        result = run("merge", "--recipe", recipe, "--as", "peft", "-o", tmp_path / "out")
        assert result.exit_code == 0, result.output
        config = json.loads((tmp_path / "out" / "adapter_config.json").read_text())
        assert config["lora_alpha"] == pytest.approx(6 * 0.4)

    @pytest.mark.parametrize(
        ("old", "new", "named"),
        [
            ("beta: 0.25", "beta: -1", "line 9: adapters.1.beta: should be greater"),
            ("beta: 0.25", "beta: .inf", "adapters.1.beta: should be a finite number"),
            ("    beta: 0.25\n", "", "line 8: adapters.1.beta: is missing; add it"),
            ("method: ties", "method: slerp", "line 10: method: must be one of ggez_linear"),
            ("region: th", "region: no", "line 3: region: should be text; put it in quotes"),
            ("family: embedding", "family: clip", "line 4: family: must be one of embedding"),
            (
                "title: A test",
                "titel: A test",
                "line 2: titel: is not a known key; did you mean title?",
            ),
            ("kind: merge", "kind: sweep", "is not a recipe of the kind merge"),
            ("base: ../base", "base: ../base\nbase: x", "twice"),
            ("base: ../base", "base: ../nowhere", "'../nowhere' is neither a path in"),
            ("{adapter: ../lora", "{adapter: org/lora", "'org/lora' is neither a path in"),
        ],
    )
    def test_what_is_off_is_named(self, folders, tmp_path, old, new, named):
        recipe = self.write(folders, RECIPE.replace(old, new, 1))
        result = run("merge", "--recipe", recipe, "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert named in result.stderr
        assert not list(tmp_path.glob("*out*"))

    @pytest.mark.parametrize(
        ("arguments", "named"),
        [
            (["--beta", "1"], "--beta and --recipe"),
            (["--method", "ties", "--variant", "fp16"], "--method, --variant and --recipe"),
        ],
    )
    def test_options_beside_it(self, folders, tmp_path, arguments, named):
        recipe = self.write(folders, RECIPE)
        result = run("merge", "--recipe", recipe, *arguments, "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert named in result.stderr

    def test_without_it_inputs_are_needed(self, folders, tmp_path):
        result = run("merge", "--base", folders / "base", "-o", tmp_path / "out")
        assert result.exit_code == 2
        assert "--adapter, --beta is missing" in result.stderr


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("org/name@main", ("org/name", "main")),
        ("a-b.c/d_e@refs/pr/1", ("a-b.c/d_e", "refs/pr/1")),
        ("./org/name@main", None),
        ("org/name", None),
        ("../a/b@c", None),
        ("a/b/c@d", None),
        ("org/name@../x", None),
        ("org/name@", None),
    ],
)
def test_repositories_by_their_spelling(place, expected):
    assert repository(place) == expected


def test_repositories_of_a_hub(tmp_path):
    """A base with two sets of weights and side files, a LoRA and a full fine-tune, over HTTP."""
    base, tuned = tmp_path / "base", tmp_path / "tuned"
    base.mkdir()
    write_base(base, LLAMA_MODEL, torch.float32)
    state = load_file(base / "model.safetensors")
    fp16 = {name: t.half() for name, t in state.items()}
    write_shards(base, fp16, 2, variant="fp16")
    shutil.copytree(base, tuned)
    for path in tuned.glob("model*"):
        path.unlink()
    save_file(
        {n: t * 1.5 if "norm" in n else t for n, t in fp16.items()}, tuned / "model.safetensors"
    )
    lora = write_adapter(tmp_path / "lora", LLAMA_MODEL.build(), ["q_proj"])
    with HubStore.open(tmp_path / "store") as store:
        commits = {
            name: upload(store, f"org/{name}", folder, license_id)
            for name, folder, license_id in (
                ("base", base, "apache-2.0"), ("tuned", tuned, "mit"), ("lora", lora, "mit"),
            )
        }  # fmt: skip
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(
            "kind: merge\nbase: org/base@main\nvariant: fp16\nadapters:\n"
            f"  - {{adapter: org/lora@{commits['lora']}, beta: 0.5}}\n"
            "  - {adapter: org/tuned@main, beta: 0.25}\n"
        )
        with serving(store) as endpoint:
            arguments = ["merge", "--recipe", recipe, "--hub", endpoint, "-o", tmp_path / "out"]
            result = run(*arguments)
            assert result.exit_code == 0, result.output
            missing = tmp_path / "missing.yaml"
            missing.write_text(recipe.read_text().replace("org/tuned", "org/gone"))
            failed = run("merge", "--recipe", missing, "--hub", endpoint, "-o", tmp_path / "no")
            assert failed.exit_code == 1
            assert "Traceback" not in failed.stderr
    there = {p.name for p in (tmp_path / "out").iterdir()}
    assert there == {p.name for p in base.iterdir()} - {"model.safetensors"} | {
        "README.md",
        "ggez.lock",
    }
    adapters = ["--adapter", lora, "--adapter", tuned, "--beta", 0.5, "--beta", 0.25]
    local = run("merge", "--base", base, *adapters, "--variant", "fp16", "-o", tmp_path / "local")
    assert local.exit_code == 0, local.output
    for path in (tmp_path / "local").glob("*.safetensors"):
        assert path.read_bytes() == (tmp_path / "out" / path.name).read_bytes()
    lock = read_any_lock(tmp_path / "out" / "ggez.lock")
    assert lock.merge.digest == read_any_lock(tmp_path / "local" / "ggez.lock").merge.digest
    inputs = (lock.merge.base, *lock.merge.adapters)
    assert {i.repo: i.revision for i in inputs} == {f"org/{n}": c for n, c in commits.items()}
    card = ModelCard((tmp_path / "out" / "README.md").read_text())
    assert card.data.base_model == ["org/base", "org/lora", "org/tuned"]
    assert (card.data.license, card.data.license_name) == ("other", "apache-2.0 and mit")


@pytest.mark.parametrize(
    ("whole", "fetched"),
    [
        # A LoRA scales without its base.
        ({}, ()),
        # What is saved whole lies between its own value and the base's.
        ({"modules_to_save": ["ln_final"]}, (WEIGHTS,)),
    ],
)
def test_an_adapter_form_fetches_of_the_base_what_it_reads(folders, tmp_path, whole, fetched):
    lora = write_lora(tmp_path / "lora", targets=["c_fc"], **whole)
    root = tmp_path / "hub"
    root.mkdir()
    with HubStore(root) as store:
        base = upload(store, "org/base", folders / "base")
        upload(store, "org/lora", lora)
        recipe = tmp_path / "recipe.yaml"
        recipe.write_text(
            "kind: merge\nbase: org/base@main\nadapters: [{adapter: org/lora@main, beta: 0.4}]\n"
        )
        out = tmp_path / "out"
        with serving(store) as endpoint:
            more = ["--as", "peft", "--hub", endpoint, "-o", out]
            result = run("merge", "--recipe", recipe, *more)
    assert result.exit_code == 0, result.output
    config = json.loads((out / "adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", base)
    assert config["lora_alpha"] == pytest.approx(6 * 0.4)
    blobs = [path.stat().st_size for path in Path(constants.HF_HUB_CACHE).rglob("blobs/*")]
    weights = (folders / "base" / WEIGHTS).stat().st_size
    assert (weights in blobs) is (WEIGHTS in fetched)
    if not fetched:
        assert sum(blobs) < weights / 4


def test_several_adapters_have_no_adapter_form(folders, tmp_path):
    recipe = tmp_path / "recipe.yaml"
    adapters = ", ".join(f"{{adapter: org/{name}@main, beta: 1}}" for name in "ab")
    recipe.write_text(f"kind: merge\nbase: org/base@main\nadapters: [{adapters}]\n")
    # No hub is there: it is not asked.
    more = ["--as", "peft", "--hub", "http://127.0.0.1:9", "-o", tmp_path / "out"]
    result = run("merge", "--recipe", recipe, *more)
    assert result.exit_code == 2
    assert "one adapter, not 2" in result.stderr


@pytest.mark.parametrize("region", ["th", "southeast-asia"])
@pytest.mark.parametrize("family", ["embedding", "diffusion", "vlm"])
def test_recipes_of_real_bases(region, family):
    recipe = read_recipe(recipes_folder() / region / f"{family}.yaml", "merge", MergeRecipe)
    assert (recipe.region, recipe.family) == (region, family)
    assert repository(recipe.base)
