"""From a corpus to a published adapter by two commands, and from there to a merged model."""

from __future__ import annotations

import json

import pyarrow.parquet as pq
import pytest
import transformers
import yaml
from click.testing import CliRunner
from diffusers import DiffusionPipeline
from huggingface_hub import constants

from ggez_hub.cards import read_card
from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.subjects.embedders import open_embedder
from ggez_hub.families import get_family
from ggez_hub.world.seed import ASSETS, BASE_REPO, BASES, seed
from tests.worlds import serving

PICTURES = ASSETS / "emoji-names" / "data" / "validation.parquet"
SPEC = {
    "kind": "filter",
    "region": "th",
    "sources": [
        {
            "name": "emoji",
            "parquet": "corpus.parquet",
            "license": "cc-by-sa-4.0",
            "columns": {
                "id": "id",
                "picture": "image",
                "examples": [
                    {"format": "caption", "name": tag, "answer": tag, "language": {"value": tag}}
                    for tag in ("th", "en")
                ],
            },
        }
    ],
    "keep_region": {"keep": "any", "rules": [{"evidence": "script", "scripts": ["Thai"]}]},
}
RECIPE = {
    "kind": "train",
    "family": "embedding",
    "region": "th",
    "base": f"{BASE_REPO}@main",
    "method": "lora",
    "lora": {"r": 4, "alpha": 8},
    "data": {"filtered": "filtered"},
    "validation": {"share": 0.2},
    "batch_size": 16,
    "micro_batch": 8,
    "max_steps": 4,
    "optimiser": {"learning_rate": 0.004},
    "license": "cc-by-sa-4.0",
    "adapts": ["prompt_language"],
}


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A hub with the demo world, to which Ana may write."""
    with HubStore.open(tmp_path / "store") as store:
        seed(store)
        store.add_account("ana")
        monkeypatch.setenv("HF_TOKEN", store.new_token("ana", "write"))
        with serving(store) as endpoint:
            # As HF_ENDPOINT would set them when the client is imported.
            template = endpoint + "/{repo_id}/resolve/{revision}/{filename}"
            monkeypatch.setattr(constants, "ENDPOINT", endpoint)
            monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
            yield endpoint


@pytest.fixture
def run(hub):
    def call(*arguments):
        done = CliRunner().invoke(cli, list(map(str, arguments)))
        assert done.exit_code == 0, done.output
        return done.stdout

    return call


FULL = {key: value for key, value in RECIPE.items() if key != "lora"} | {"method": "full"}
SMALL = {"batch_size": 8, "micro_batch": 8, "max_steps": 2, "precision": "fp32"}
VLM = RECIPE | SMALL | {"family": "vlm", "base": f"{BASES['vlm']}@main"}
DIFFUSION = (
    RECIPE | SMALL | {"family": "diffusion", "base": f"{BASES['diffusion']}@main", "resolution": 32}
)
# The file of a base that an adapter of the family changes.
CHANGED = {
    "embedding": "open_clip_model.safetensors",
    "vlm": "model.safetensors",
    "diffusion": "unet/diffusion_pytorch_model.safetensors",
}


# What the user of each family loads it by.
OPENED = {
    "embedding": lambda folder: open_embedder(folder, get_family("embedding")),
    "vlm": transformers.AutoModelForImageTextToText.from_pretrained,
    "diffusion": DiffusionPipeline.from_pretrained,
}


@pytest.mark.parametrize(
    "recipe",
    [RECIPE, pytest.param(FULL, marks=pytest.mark.slow), VLM, DIFFUSION],
    ids=["lora", "full", "vlm", "diffusion"],
)
def test_two_commands_from_a_corpus_to_an_adapter_that_pull_takes(run, tmp_path, recipe):
    family = recipe["family"]
    base = ASSETS / family / "base"
    pq.write_table(pq.read_table(PICTURES).slice(0, 48), tmp_path / "corpus.parquet")
    (tmp_path / "spec.yaml").write_text(yaml.safe_dump(SPEC))
    (tmp_path / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    filtered, out = tmp_path / "filtered", tmp_path / "emoji-th"

    run("filter", tmp_path / "spec.yaml", "-o", filtered)
    said = run("train", tmp_path / "recipe.yaml", "-o", out, "--json")
    record = json.loads(said)
    assert record["steps"] == recipe["max_steps"]
    assert record["examples"] < 48

    card = read_card(out / "README.md").card
    report = json.loads((filtered / "report.json").read_text())
    assert card.level == "reproducible"
    assert card.data_filter.spec_digest == report["spec_digest"]
    assert card.data_filter.counts.kept == report["counts"]["kept"]
    assert card.languages == ["th"]
    assert card.alpha.provenance == "kof"
    run("card", "validate", out, "--online")

    run("publish", out, "--repo", "ana/emoji-th")
    run("card", "validate", out, "--online", "--repo", "ana/emoji-th")
    pulled = tmp_path / "pulled"
    run("pull", "--region", "th", "--live", "--trust", "ana", "--beta", "0.5",
        "-o", pulled)  # fmt: skip
    merged = tmp_path / "merged"
    run("merge", "--base", base, "--adapter", out, "--beta", "0.5", "--family", family,
        "-o", merged)  # fmt: skip
    weights = CHANGED[family]
    assert (pulled / family / weights).read_bytes() == (merged / weights).read_bytes()
    assert (merged / weights).read_bytes() != (base / weights).read_bytes()
    OPENED[family](merged)
