"""publish.yml on the demo world: an accepted card becomes an index with evidence and a merged model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import HfApi, hf_hub_download

from ggez_hub.cards import parse_card, render_card
from ggez_hub.embedded.store import HubStore
from ggez_hub.weights import sha256_file
from ggez_hub.world.place import ADAPTER_FILES
from ggez_hub.world.seed import ASSETS, seed

from ..worlds import serving
from .conftest import card_of_th, new_registry

CARD = "cards/th/embedding/gentle.md"
MERGED = "ggez-hub/gentle-th-merged"


def gentle(folder: Path) -> dict[str, bytes]:
    """The demo's Thai adapter at three tenths of its strength, as somebody else's."""
    source = ASSETS / "embedding" / "th"
    config = json.loads((source / "adapter_config.json").read_text())
    config["lora_alpha"] *= 0.3
    files = {name: (source / name).read_bytes() for name in ADAPTER_FILES}
    files["adapter_config.json"] = json.dumps(config).encode()
    folder.mkdir()
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return files


def accepted_card(endpoint: str, folder: Path, revision: str) -> str:
    document = parse_card(card_of_th(endpoint))
    files = {
        path.name: {"size": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(folder.iterdir())
    }
    block = document.card.model_dump(mode="json", exclude_defaults=True) | {
        "level": "declared", "curve": "unknown", "files": files, "published_by": "someone",
        "adapter": {"repo": "someone/gentle", "revision": revision},
    }  # fmt: skip
    card = type(document.card).model_validate(block)
    return render_card(type(document)(card, document.front_matter, document.prose))


@pytest.fixture(scope="module")
def published(tmp_path_factory):
    """The registry after publish.yml ran twice, and what the two runs printed."""
    folder = tmp_path_factory.mktemp("registry")
    with HubStore.open(tmp_path_factory.mktemp("store")) as store:
        seed(store)
        files = gentle(folder / "gentle")
        store.create_repo("model", "someone/gentle")
        commit = store.commit("model", "someone/gentle", files, message="Add", author="s",
                              email="s@x", date=1_800_000_000)  # fmt: skip
        store.add_account("curator", orgs=["ggez-hub"])
        token = store.new_token("curator", "write")
        with serving(store) as endpoint, new_registry(folder, endpoint) as registry:
            registry.runner.secrets["HF_TOKEN"] = token
            registry.accept({CARD: accepted_card(endpoint, folder / "gentle", str(commit))})
            runs = [registry.runner.run("publish.yml", "publish", {})[0] for _ in range(2)]
            yield endpoint, runs


def test_the_first_run_measures_and_pushes(published):
    _, (first, _) = published
    assert first.code == 0, first.stderr
    # Three tenths of the demo's Delta: it gains, and loses too little for these items to tell.
    assert f"{CARD}: unproven" in first.stdout
    assert f"{CARD}: merged form at {MERGED}@" in first.stdout


def test_the_index_holds_the_measured_card_its_evidence_and_the_file(published):
    endpoint, _ = published
    found = HfApi(endpoint).list_repo_files("ggez-hub/index", repo_type="dataset")
    evidence = [path for path in found if path.startswith("evidence/")]
    assert sorted(set(found) - {".gitattributes"}) == [
        CARD,
        "evidence/th/embedding/gentle/predictions.parquet",
        "evidence/th/embedding/gentle/results.json",
        "index.sqlite",
        "recipes/th/embedding/gentle.yaml",
    ]
    text = Path(
        hf_hub_download("ggez-hub/index", CARD, repo_type="dataset", endpoint=endpoint)
    ).read_text()
    card = parse_card(text).card
    assert card.level == "measured"
    rows = [row for tasks in card.curve.values() for row in tasks.values()]
    assert {row.measured_by for row in rows} == {"registry"}
    place = hf_hub_download("ggez-hub/index", evidence[0], repo_type="dataset", endpoint=endpoint)
    assert {row.predictions for row in rows} == {sha256_file(Path(place))}


def test_the_merged_model_is_there_with_its_lock(published):
    endpoint, _ = published
    files = HfApi(endpoint).list_repo_files(MERGED)
    assert {"ggez.lock", "open_clip_model.safetensors", "open_clip_config.json"} <= set(files)


def test_the_second_run_measures_and_sends_nothing(published):
    endpoint, (first, second) = published
    assert second.code == 0, second.stderr
    assert f"{CARD}: measured before, unproven" in second.stdout
    titles = [commit.title for commit in HfApi(endpoint).list_repo_commits(MERGED)]
    assert titles == ["Publish the th merged model", "initial commit"]
    index = [line for line in first.stdout.splitlines() if line.startswith("index @")]
    assert index == [line for line in second.stdout.splitlines() if line.startswith("index @")]
