"""`pull --betas`: betas by part from the request to the bytes, the lock, the card and the table."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.merge import tensor_names
from ggez_hub.recipe_file import read_recipe
from ggez_hub.registry.lock import read_lock

WEIGHTS = "open_clip_model.safetensors"
EMBEDDING = get_family("embedding")
BETAS = r"""
kind: betas
parts:
  - {tensors: '^visual\.', beta: 0}
  - {tensors: '^transformer\.resblocks\.(\d+)\.', times: 0.8, tilt: 0.5}
"""


@pytest.fixture
def betas(tmp_path):
    path = tmp_path / "betas.yaml"
    path.write_text(BETAS)
    return path


def run(*arguments):
    return CliRunner().invoke(cli, list(map(str, arguments)))


def pull(hub, *arguments):
    return run("pull", "--region", "th", "--hub", hub.endpoint, *arguments)


def pull_by_part(hub, betas, out, *more):
    return pull(hub, "--family", "embedding", "--betas", betas, "-o", out, *more)


def by_tensor(base, betas, beta):
    asked = read_recipe(betas, "betas", BetasByPart)
    return asked.on(tensor_names(base, EMBEDDING)).at(beta)


def test_the_bytes_are_those_of_the_merge_by_part(seeded, world, betas, tmp_path):
    result = pull_by_part(seeded, betas, tmp_path / "out", "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    (adapter,) = said["adapters"]
    # beta is the one that the curve chooses; the parts are multiples of it.
    assert adapter["beta"]["value"] == 0.5
    base, lora = world / "embedding" / "base", world / "embedding" / "th"
    expected = by_tensor(base, betas, 0.5)
    assert adapter["parts"]["betas"] == expected
    assert expected["transformer.resblocks.1.mlp.c_fc.weight"] == 0.5 * 0.8 * 1.5
    merge(base, [Adapter(lora, 0.5, expected)], tmp_path / "expected", EMBEDDING)
    merged = tmp_path / "out" / "embedding" / WEIGHTS
    assert merged.read_bytes() == (tmp_path / "expected" / WEIGHTS).read_bytes()
    assert run("verify", tmp_path / "out", "--hub", seeded.endpoint).exit_code == 0


def test_what_no_curve_has_measured_is_not_claimed(seeded, betas, tmp_path):
    result = pull_by_part(seeded, betas, tmp_path / "out", "--json")
    table = json.loads(result.stdout)["table"]
    assert [(line["model"], line["measured"]) for line in table] == [
        ("base", True), ("merged by part", False), ("regional", True),
    ]  # fmt: skip
    card = (tmp_path / "out" / "embedding" / "README.md").read_text()
    assert "model-index" not in card
    assert "| merged by part (beta 0.5) | not measured |" in card
    assert r"by part: '^visual\\.': 0" in card
    plain = pull(seeded, "--family", "embedding", "-o", tmp_path / "plain")
    assert plain.exit_code == 0
    assert "model-index" in (tmp_path / "plain" / "embedding" / "README.md").read_text()


def test_a_lock_gives_the_same_bytes_without_the_file(seeded, betas, tmp_path):
    assert pull_by_part(seeded, betas, tmp_path / "first").exit_code == 0
    betas.unlink()
    lock = tmp_path / "first" / "ggez.lock"
    result = pull(seeded, "--locked", "--lock", lock, "-o", tmp_path / "second")
    assert result.exit_code == 0, result.output
    assert read_lock(lock) == read_lock(tmp_path / "second" / "ggez.lock")
    result = pull(seeded, "--locked", "--lock", lock, "--betas", lock, "-o", tmp_path / "third")
    assert result.exit_code == 2


def test_locked_with_the_file_is_wrong_usage(seeded, betas, tmp_path):
    assert pull_by_part(seeded, betas, tmp_path / "out").exit_code == 0
    result = pull(seeded, "--locked", "--betas", betas, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "--betas cannot be chosen with --locked" in result.stderr


def test_a_lock_whose_betas_are_not_its_parts_is_refused(seeded, betas, tmp_path):
    assert pull_by_part(seeded, betas, tmp_path / "first").exit_code == 0
    lock = tmp_path / "first" / "ggez.lock"
    document = json.loads(lock.read_text())
    document["resolution"]["adapters"][0]["parts"]["betas"]["visual.proj"] = 0.9
    lock.write_text(json.dumps(document))
    result = pull(seeded, "--locked", "--lock", lock, "-o", tmp_path / "second")
    assert result.exit_code == 2
    assert "the lock's beta of 'visual.proj' is 0.9, by its parts it is 0.0" in result.stderr
    assert not (tmp_path / "second").exists()


def test_the_same_pull_again_is_known_and_another_is_not(seeded, betas, tmp_path):
    out = tmp_path / "out"
    first = json.loads(pull_by_part(seeded, betas, out, "--json").stdout)
    again = json.loads(pull_by_part(seeded, betas, out, "--json").stdout)
    assert (first["reused"], again["reused"]) == (False, True)
    betas.write_text(BETAS.replace("beta: 0", "beta: 0.1"))
    other = pull_by_part(seeded, betas, out)
    assert other.exit_code == 1
    assert "holds another pull" in other.stderr
    assert pull(seeded, "--family", "embedding", "-o", out).exit_code == 1


def test_a_pattern_that_finds_nothing_is_known_before_weights_are_fetched(
    seeded, betas, tmp_path, monkeypatch
):
    # A cache of its own: the base has to be asked for by its header alone.
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    betas.write_text(BETAS.replace("visual", "vision_tower"))
    result = pull_by_part(seeded, betas, tmp_path / "out", "--dry-run")
    assert result.exit_code == 2
    assert "finds none of the base's" in result.stderr
    assert not list((tmp_path / "cache").rglob("*.safetensors"))
    # The base is not in this cache, and a fitting file is no reason to fetch it for a dry run.
    betas.write_text(BETAS)
    costs = pull_by_part(seeded, betas, tmp_path / "out", "--dry-run", "--json")
    assert json.loads(costs.stdout)["fetch_bytes"] > 100_000
    assert not list((tmp_path / "cache").rglob("*.safetensors"))


def test_a_request_that_names_no_base_is_not_guessed(seeded, betas, tmp_path):
    result = pull(seeded, "--betas", betas, "-o", tmp_path / "out")
    assert result.exit_code == 2
    assert "no base was named" in result.stderr


def test_a_composition_by_part(seeded, betas, world, tmp_path):
    repos = ("ggez-world/clip-emoji-th", "ggez-world/clip-emoji-southeast-asia")
    more = [word for repo in repos for word in ("--adapter", repo)]
    more += ["--beta", 0.5, "--beta", 0.25, "--allow-overlap"]
    result = pull_by_part(seeded, betas, tmp_path / "out", *more, "--json")
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert said["composition"] == {"measured": False, "measured_by": None}
    base = world / "embedding" / "base"
    expected = [by_tensor(base, betas, beta) for beta in (0.5, 0.25)]
    assert [adapter["parts"]["betas"] for adapter in said["adapters"]] == expected


def test_retune_says_that_its_curve_is_of_one_beta(seeded, betas, tmp_path):
    assert pull_by_part(seeded, betas, tmp_path / "out").exit_code == 0
    result = run("retune", tmp_path / "out", "--hub", seeded.endpoint)
    assert result.exit_code == 2
    assert "has betas by part" in result.stderr


def test_resolve_shows_the_parts(seeded, betas):
    result = run(
        "resolve", "--region", "th", "--family", "embedding", "--betas", betas,
        "--hub", seeded.endpoint,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert r"by part  '^visual\\.': 0" in result.stdout


def test_an_adapter_form_by_part(seeded, world, betas, tmp_path):
    result = pull_by_part(seeded, betas, tmp_path / "out", "--as", "peft", "--json")
    assert result.exit_code == 0, result.output
    folder = tmp_path / "out" / "embedding"
    base, lora = world / "embedding" / "base", world / "embedding" / "th"
    expected = by_tensor(base, betas, 0.5)
    config = json.loads((folder / "adapter_config.json").read_text())
    own = json.loads((lora / "adapter_config.json").read_text())
    alphas = config["alpha_pattern"]
    assert alphas[r"^transformer\.resblocks\.1\.mlp\.c_fc"] == pytest.approx(
        own["lora_alpha"] * expected["transformer.resblocks.1.mlp.c_fc.weight"]
    )
    # The lock gives the same files, and one whose betas are not its parts is refused here too.
    lock = tmp_path / "out" / "ggez.lock"
    again = pull(seeded, "--locked", "--lock", lock, "-o", tmp_path / "again")
    assert again.exit_code == 0, again.output
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        assert (tmp_path / "again" / "embedding" / name).read_bytes() == (
            folder / name
        ).read_bytes()
    document = json.loads(lock.read_text())
    document["resolution"]["adapters"][0]["parts"]["betas"]["visual.proj"] = 0.9
    lock.write_text(json.dumps(document))
    result = pull(seeded, "--locked", "--lock", lock, "-o", tmp_path / "third")
    assert result.exit_code == 2
    assert not (tmp_path / "third").exists()
