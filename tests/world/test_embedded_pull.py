"""`pull --region th --hub embedded` as a person types it: a process, a hub, a folder."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from ggez_hub.cards import read_card
from ggez_hub.embedded import HubStore
from ggez_hub.registry.places import INDEX_REPO
from ggez_hub.world.parts import VLM
from ggez_hub.world.seed import ASSETS, BASE_REPO, BASES, DATA, adapter_repo, seed

# The same on every machine: author, date and content are fixed. A change of the world changes
# them, and then WORLD_VERSION has to be raised.
COMMITS = {
    "ggez-world/clip-emoji": "d96f86208bc50f78cb41d589860cc2fee3598e96",
    "ggez-world/clip-emoji-th": "4925d0eda639581cf4e7064e864d66460f279255",
    "ggez-world/clip-emoji-southeast-asia": "bcb28cfdf34b9051cddc1ff2750eb318e8837f1c",
    "ggez-world/vlm-emoji": "b1525057266c1047522d7e2ef7573bfe863489fe",
    "ggez-world/vlm-emoji-th": "d9ac0e80c92f76dbc1e6000b2e8c168ea8acc727",
    "ggez-world/emoji-names": "993c560e509c45b95d2217d74e47ff2a7917cee1",
    "ggez-world/diffusion-emoji": "4133e5142e97f2c1e3805e1abbbfdbb8bd7d5531",
    "ggez-world/diffusion-emoji-th": "fff80eb5b0c7b056fcb716ce0d31b4f6cf74a738",
    "ggez-world/emoji-prompts": "81231b7b39e04a2257056019548a43067d143399",
    "ggez-hub/index": "cb4e97ec50960f2b4d5ba709ed910fbdfb8dc702",
}


def run(*arguments):
    command = [sys.executable, "-m", "ggez_hub", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_pull_from_the_embedded_hub(tmp_path):
    out = tmp_path / "thai"
    result = run("pull", "--region", "th", "--hub", "embedded", "-o", out, "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["base"]["repo"] == BASE_REPO
    assert (out / "embedding" / "open_clip_model.safetensors").stat().st_size > 10_000_000
    again = run("pull", "--region", "th", "--hub", "embedded", "-o", out, "--json")
    assert json.loads(again.stdout)["reused"] is True
    locked = run("pull", "--region", "th", "--hub", "embedded", "--locked",
                 "--lock", out / "ggez.lock", "-o", tmp_path / "again")  # fmt: skip
    assert locked.returncode == 0, locked.stderr
    assert (tmp_path / "again" / "ggez.lock").read_bytes() == (out / "ggez.lock").read_bytes()


def test_a_family_can_be_asked_for(tmp_path):
    out = tmp_path / "thai"
    result = run(
        "pull", "--region", "th", "--family", "vlm", "--hub", "embedded", "-o", out, "--json"
    )
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["base"]["repo"] == VLM.repo
    assert [adapter["source"]["repo"] for adapter in document["adapters"]] == [
        VLM.adapter_repo("th")
    ]
    assert (out / "vlm" / "model.safetensors").stat().st_size == (
        ASSETS / "vlm" / "base" / "model.safetensors"
    ).stat().st_size
    assert (out / "vlm" / "chat_template.jinja").is_file()


@pytest.mark.parametrize(
    ("region", "code", "words"),
    [
        ("kh", 0, "southeast-asia, which kh falls back to"),
        ("fr", 1, "no adapter serves fr (France)"),
        ("thailnd", 2, "there is no region"),
    ],
)
def test_other_regions(tmp_path, region, code, words):
    result = run("pull", "--region", region, "--hub", "embedded", "-o", tmp_path / "x", "--dry-run")
    assert result.returncode == code
    assert words in result.stdout + result.stderr
    assert not (tmp_path / "x").exists()


def test_commit_ids_are_pinned(tmp_path):
    with HubStore.open(tmp_path / "store") as store:
        seed(store)
        heads = {
            BASE_REPO: store.head("model", BASE_REPO),
            **{
                adapter_repo(name): store.head("model", adapter_repo(name))
                for name in ("th", "southeast-asia")
            },
            **{repo: store.head("dataset", repo) for repo in DATA.values()},
            BASES["diffusion"]: store.head("model", BASES["diffusion"]),
            adapter_repo("th", "diffusion"): store.head("model", adapter_repo("th", "diffusion")),
            VLM.repo: store.head("model", VLM.repo),
            VLM.adapter_repo("th"): store.head("model", VLM.adapter_repo("th")),
            INDEX_REPO: store.head("dataset", INDEX_REPO),
        }
    assert heads == COMMITS


def test_cards_name_the_commit_of_their_base():
    for name in ("th", "southeast-asia"):
        card = read_card(ASSETS / "embedding" / name / "README.md").card
        assert card.base.revision == COMMITS[BASE_REPO]
    card = read_card(ASSETS / "vlm" / "th" / "README.md").card
    assert card.base.revision == COMMITS[VLM.repo]


def test_two_users_have_two_hubs(tmp_path, monkeypatch):
    stores = []
    for user in ("ann", "ben"):
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / user))
        assert run("search", "--hub", "embedded").returncode == 0
        stores += (tmp_path / user).rglob("world-*")
    assert len(stores) == 2
    tokens = [p.read_text() for store in stores for p in store.glob("*token*") if p.is_file()]
    assert len(set(tokens)) == len(tokens)
