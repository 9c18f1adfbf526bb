"""`pull --region th --hub embedded` as a person types it: a process, a hub, a folder."""

from __future__ import annotations

import json
import shlex

import pytest

from ggez_hub.cards import read_card
from ggez_hub.demo.hub import ASSETS, BASE_REPO, DATA, seed
from ggez_hub.demo.world import VLM, family_folders
from ggez_hub.embedded import HubStore
from ggez_hub.registry.constants import INDEX_REPO

pytestmark = pytest.mark.slow

# The same on every machine: author, date and content are fixed. A change of the world changes
# them, and then WORLD_VERSION has to be raised.
COMMITS = {
    "ggez-world/clip-emoji": "e0010c55b96cdbd42c3569f6345447738f5aebfb",
    "ggez-world/clip-emoji-th": "8aeea711f56704922d19547cd67ecddc2fa0d86e",
    "ggez-world/clip-emoji-southeast-asia": "6b389127b08e4cc0b259a35ed75d56a953163b8b",
    "ggez-world/vlm-emoji": "d99dfb12c4e700af8bfef505da0b4871cd0adad1",
    "ggez-world/vlm-emoji-th": "aaa7717e540b209833d37067f850a50aa393ed3e",
    "ggez-world/emoji-names": "993c560e509c45b95d2217d74e47ff2a7917cee1",
    "ggez-world/diffusion-emoji": "1baa4da6a4ad53cdfd2246eb5c5c7594029799b3",
    "ggez-world/diffusion-emoji-th": "a110f9028bc5d9153c232c25cecd6462cdd85d55",
    "ggez-world/emoji-prompts": "81231b7b39e04a2257056019548a43067d143399",
    "ggez-hub/index": "f542b5f86cfb85e05a202ccb7bd0d727a5024a76",
}


def test_pull_from_the_embedded_hub(run, tmp_path):
    out = tmp_path / "thai"
    result = run("pull", "--region", "th", "--hub", "embedded", "-o", out, "--json")
    assert result.returncode == 0, result.stderr
    document = json.loads(result.stdout)
    assert document["base"]["repo"] == BASE_REPO
    assert (out / "embedding" / "open_clip_model.safetensors").stat().st_size > 10_000_000
    again = run("pull", "--region", "th", "--hub", "embedded", "-o", out, "--json")
    assert json.loads(again.stdout)["reused"] is True
    # The way to its scores and gates, at the beta that was pulled.
    page = run("report", out, "-o", tmp_path / "thai.html", "--hub", "embedded")
    assert page.returncode == 0, page.stderr
    assert "clip-emoji-th" in (tmp_path / "thai.html").read_text()
    gates = run("ci", "gate", out, "--hub", "embedded")
    assert gates.returncode == 0, gates.stderr
    assert gates.stdout.startswith(f"beta {document['adapters'][0]['beta']['value']:g} against")
    locked = run("pull", "--region", "th", "--hub", "embedded", "--locked",
                 "--lock", out / "ggez.lock", "-o", tmp_path / "again")  # fmt: skip
    assert locked.returncode == 0, locked.stderr
    assert (tmp_path / "again" / "ggez.lock").read_bytes() == (out / "ggez.lock").read_bytes()


def test_the_embedded_hub_needs_no_network(run, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for more in ((), ("--offline",)):
        result = run("resolve", "--region", "th", "--hub", "embedded", *more)
        assert result.returncode == 0, result.stderr


@pytest.mark.slow
def test_a_family_can_be_asked_for(run, tmp_path):
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
    card = (out / "vlm" / "README.md").read_text()
    assert "# Vision-language model for Thailand\n" in card
    # Another family in the same folder: each has its lock, and verify knows both and each.
    more = run(
        "pull", "--region", "th", "--as", "peft", "--hub", "embedded", "-o", out, "--explain"
    )
    assert more.returncode == 0, more.stderr
    both = run("verify", out)
    assert both.stdout == f"{out}: {9 + 3} files are what the locks say\n"
    assert run("verify", out / "embedding").stdout == f"{out}: 3 files are what the lock says\n"
    assert "Name one" in run("report", out, "-o", tmp_path / "x.html").stderr
    # What is printed still works when the hub has ended: the base is pulled, and the adapter put on it.
    lines = more.stdout.partition("\n\nbase = ")[2].partition("\n\n")[0].splitlines()
    base, command = lines[0].split("  # ggez-hub ")
    assert run(*shlex.split(command)).returncode == 0
    names: dict[str, object] = {}
    exec("\n".join((f"base = {base}", *lines[1:])), names)  # noqa: S102 - printed by pull
    assert type(names["model"]).__name__ == "PeftModel"


@pytest.mark.parametrize(
    ("region", "code", "words"),
    [
        ("kh", 0, "southeast-asia, which kh falls back to"),
        ("fr", 1, "no adapter serves fr (France)"),
        ("thailnd", 2, "there is no region"),
    ],
)
def test_other_regions(run, tmp_path, region, code, words):
    result = run("pull", "--region", region, "--hub", "embedded", "-o", tmp_path / "x", "--dry-run")
    assert result.returncode == code
    assert words in result.stdout + result.stderr
    assert not (tmp_path / "x").exists()


def test_commit_ids_are_pinned(tmp_path):
    models = [
        repo
        for place in family_folders(ASSETS)
        for repo in (place.part.repo, *map(place.part.adapter_repo, place.adapters))
    ]
    with HubStore.open(tmp_path / "store") as store:
        seed(store)
        heads = {repo: store.head("model", repo) for repo in models}
        heads |= {repo: store.head("dataset", repo) for repo in (*DATA.values(), INDEX_REPO)}
    assert heads == COMMITS


def test_cards_name_the_commit_of_their_base():
    for place in family_folders(ASSETS):
        for name in place.adapters:
            card = read_card(place.adapter(name) / "README.md").card
            assert card.base.revision == COMMITS[place.part.repo]


def test_two_users_have_two_hubs(run, cache, tmp_path):
    stores = []
    for own in (cache, tmp_path / "ben"):
        assert run("search", "--hub", "embedded", cache=own).returncode == 0
        stores += own.rglob("world-*")
    assert len(stores) == 2
    tokens = [p.read_text() for store in stores for p in store.glob("*token*") if p.is_file()]
    assert len(set(tokens)) == len(tokens)
