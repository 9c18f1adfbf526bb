"""From a corpus to a published adapter by two commands, and from there to a merged model."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import transformers
import yaml
from click.testing import CliRunner
from diffusers import DiffusionPipeline
from huggingface_hub import constants, snapshot_download

from ggez_hub.cards import read_card
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import ASSETS, BASE_REPO, seed
from ggez_hub.demo.world import DEMO_FAMILIES
from ggez_hub.digests import sha256_file
from ggez_hub.embedded.store import HubStore
from ggez_hub.evaluation.models.embedding_model import open_embedder
from ggez_hub.families import get_family
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
VLM = RECIPE | SMALL | {"family": "vlm", "base": f"{DEMO_FAMILIES['vlm'].repo}@main"}
DIFFUSION = (
    RECIPE
    | SMALL
    | {"family": "diffusion", "base": f"{DEMO_FAMILIES['diffusion'].repo}@main", "resolution": 32}
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


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe", [RECIPE, FULL, VLM, DIFFUSION], ids=["lora", "full", "vlm", "diffusion"]
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


TASKS = {
    "kind": "tasks",
    "defaults": {
        "dataset": {"repo": "ggez-world/emoji-names", "revision": "main"},
        "splits": {split: f"data/{split}.parquet" for split in ("validation", "test")},
        "metric": "text_to_image_r1",
        "seed": 0,
    },
    "tasks": [
        {
            "id": name,
            "title": name,
            "columns": {"id": "id", "image": "image", "text": column, "group": "group"},
            "side": side,
            "regions": regions,
            "language": language,
        }
        for name, column, side, regions, language in (
            ("english", "en", "global", [], "en"),
            # Names of other pictures: a task that nobody can do better than by guessing.
            ("noise", "ms", "global", [], "en"),
            ("thai", "th", "regional", ["th"], "th"),
        )
    ],
}


def figures(text):
    return [float(number) for number in re.findall(r"[\d.]+", text)]


def shown_grps(text):
    """Label or beta -> GRP with its interval, of a table as it is printed for people."""
    rows = [
        [cell.strip() for cell in line.split("  ") if cell.strip()] for line in text.splitlines()
    ]
    return {row[0]: row[-2] for row in rows if len(row) > 3 and "]" in row[-2]}


@pytest.mark.slow
def test_an_author_measures_what_was_trained_and_pull_chooses_from_it(run, tmp_path, monkeypatch):
    """From a training recipe to a pull, with a task that is at chance and leaves the choice."""
    data = tmp_path / "data" / "data"
    data.mkdir(parents=True)
    for split in ("validation", "test"):
        names = pq.read_table(ASSETS / "emoji-names" / "data" / f"{split}.parquet").slice(0, 150)
        others = names.column("en").to_pylist()
        place = names.schema.get_field_index("ms")
        names = names.set_column(place, "ms", [others[7:] + others[:7]])
        pq.write_table(names, data / f"{split}.parquet")
    pq.write_table(pq.read_table(PICTURES).slice(0, 48), tmp_path / "corpus.parquet")
    files = {
        "spec": SPEC,
        "recipe": RECIPE,
        "tasks/tasks": TASKS,
        "sweep": {
            "kind": "sweep", "region": "th", "family": "embedding", "tasks": "tasks", "data": "data",
            "base": str(ASSETS / "embedding" / "base"), "adapter": "emoji-th", "betas": [0, 0.5, 1],
        },
    }  # fmt: skip
    (tmp_path / "tasks").mkdir()
    for name, content in files.items():
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.chdir(tmp_path)

    run("filter", "spec.yaml", "-o", "filtered")
    assert "ggez-hub card measure RESULTS emoji-th" in run("train", "recipe.yaml", "-o", "emoji-th")
    said = run("sweep", "sweep.yaml", "-o", "results")
    assert said.rstrip().endswith("ggez-hub card measure results emoji-th")
    swept = json.loads(run("sweep", "sweep.yaml", "-o", "results", "--json"))
    noted = run("card", "measure", "results", "emoji-th")
    assert "measured by the author" in noted
    card = read_card(Path("emoji-th/README.md")).card
    assert card.curve["1"]["thai/test"].measured_by == "self"
    # With what stands beside the merge, whose answers are kept as well.
    assert (card.baselines.measured_by, card.baselines.split) == ("self", "test")
    answers = {path.name.partition("-")[0]: path for path in Path("emoji-th/evidence").iterdir()}
    assert set(answers) == {"measured", "average"}
    assert sha256_file(answers["average"]) == card.baselines.average.predictions
    run("verify", "emoji-th")
    run("publish", "emoji-th", "--repo", "ana/emoji-th")

    trusted = ("--region", "th", "--live", "--trust", "ana")
    pulled = json.loads(run("resolve", *trusted, "--json"))
    chosen = swept["selection"]["beta"]
    assert pulled["adapters"][0]["beta"]["value"] == chosen
    points = swept["parity"]["test"]["points"]
    assert swept["parity"]["test"]["at_chance"] == ["noise"]
    for line in pulled["table"]:
        point = points[f"{line['beta']:g}"]
        assert line["grp"] == point["grp"]["value"]
        assert line["grp_interval"] == point["grp"]["interval"]
        assert line["grp_raw"] == point["grp_raw"]

    shown = run("pull", *trusted, "-o", "pulled", "--explain")
    assert "as its author claims" in shown
    assert "left out, at chance at every beta: noise" in shown
    assert "Left out, at chance at every beta on validation: noise" in said
    on_test = shown_grps(said[said.index("test: ") : said.index("validation: ")])
    ours, theirs = shown_grps(shown), {key.split(" ")[0]: grp for key, grp in on_test.items()}
    assert len(ours) == 3
    for label, grp in ours.items():
        exact = figures(theirs[label.rpartition("beta ")[2].rstrip(")")])
        assert figures(grp) == pytest.approx(exact, abs=0.056)
    evidence = [path for path in Path("emoji-th/evidence").iterdir() if path.suffix == ".parquet"]
    again = run("contribute", "emoji-th", "--repo", "ana/again", "--json")
    assert json.loads(again)["repo"] == "ana/again"
    for repo in ("ana/emoji-th", "ana/again"):
        found = snapshot_download(repo, allow_patterns=["evidence/*", "README.md"])
        for path in evidence:
            assert (Path(found) / "evidence" / path.name).read_bytes() == path.read_bytes()
        run("verify", found)
