"""The index that the package ships, on a hub whose repositories have the real names and tiny models."""

from __future__ import annotations

import json
import re
import sys

import pytest
from click.testing import CliRunner
from huggingface_hub import HfApi

import ggez_hub
from ggez_hub.cards import read_card
from ggez_hub.cli.main import cli
from ggez_hub.embedded.store import HubStore
from ggez_hub.hub import Hub
from ggez_hub.registry.index import entries
from ggez_hub.registry.index.entries import shipped_cards
from ggez_hub.registry.index.search import accepted_entries
from ggez_hub.registry.index.shipped import shipped_index
from ggez_hub.registry.lock import read_lock

from ..worlds import serving
from .declared import register, upload
from .test_kinds import gemma3, qwen3

GEMMA = "aisingapore/Gemma-SEA-LION-v4-4B-VL"
NOTE = f"the index of ggez-hub {ggez_hub.__version__}: "


def shipped_documents():
    rows = shipped_index().rows
    return [read_card(shipped_cards() / row.path.removeprefix("cards/")) for row, _ in rows]


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"gemma": gemma3(folder / "gemma")[0], "qwen": qwen3(folder / "qwen")[0]}


@pytest.fixture
def sea(models, tmp_path):
    """A hub with the models of the shipped cards, and no index; its store."""
    with HubStore.open(tmp_path / "store") as store:
        for document in shipped_documents():
            card = document.card
            model = models["gemma" if "gemma" in card.base.repo else "qwen"]
            upload(store, card.base.repo, model, document.license)
            upload(store, card.adapter.repo, model, document.license)
        with serving(store) as endpoint:
            yield Hub(endpoint), store


def run(hub, command, *arguments):
    return CliRunner().invoke(cli, [command, "--hub", hub.endpoint, *map(str, arguments)])


def test_the_demo_world_is_not_in_it_and_all_else_is():
    paths = {path.relative_to(shipped_cards().parent) for path in shipped_cards().glob("*/*/*.md")}
    demo = {path for path in paths if "emoji" in path.name}
    found = shipped_index()
    assert {row.path for row, _ in found.rows} == {path.as_posix() for path in paths - demo}
    assert found.listing.unreadable == ()
    assert re.search(r"the newest of 20\d\d-\d\d-\d\d; yanks since then are unknown$", found.note)


@pytest.mark.parametrize("published", [False, True], ids=["shipped", "published"])
def test_a_bare_pull_ends_in_choices_and_one_more_line_makes_a_model(sea, tmp_path, published):
    hub, store = sea
    if published:
        register(store, *shipped_documents())
    shown = run(hub, "pull", "--region", "th", "-o", tmp_path / "out")
    assert shown.exit_code == 2
    assert (NOTE in shown.stderr) is not published
    asked = run(hub, "pull", "--region", "th", "-o", tmp_path / "out", "--json")
    choices = json.loads(asked.stdout)["choices"]
    adapters = {document.card.adapter.repo for document in shipped_documents()}
    assert {choice["adapter"] for choice in choices} == adapters
    assert all(choice["fetch_bytes"] > 0 for choice in choices)
    (offered,) = [choice["command"] for choice in choices if choice["adapter"] == GEMMA]
    assert offered.replace(" --json", "") in shown.stderr
    taken = CliRunner().invoke(cli, [*offered.split()[1:], "-o", str(tmp_path / "out")])
    assert taken.exit_code == 0, taken.output
    assert (NOTE in taken.stderr) is not published
    (adapter,) = read_lock(tmp_path / "out" / "ggez.lock").resolution.adapters
    assert adapter.source.repo == GEMMA
    assert adapter.card.repo_type == ("dataset" if published else "package")
    again = run(hub, "pull", "--region", "th", "-o", tmp_path / "out", "--locked")
    assert again.exit_code == 0, again.output


def test_of_what_nobody_measured_no_scores_are_offered(sea, tmp_path):
    hub, _ = sea
    out = tmp_path / "out"
    taken = run(hub, "pull", "--region", "th", "--adapter", GEMMA, "--beta", "0.5", "-o", out)
    assert taken.exit_code == 0, taken.output
    assert "ggez-hub report" not in taken.stdout
    reported = run(hub, "report", out, "-o", tmp_path / "page.html")
    assert reported.exit_code == 1
    assert f"error: the card of {GEMMA} holds no curve" in reported.stderr
    chosen = run(hub, "retune", out)
    assert (chosen.exit_code, "ggez-hub sweep" in chosen.stderr) == (1, True)
    assert "--beta" not in chosen.stderr


def test_which_index_can_be_said(sea):
    hub, store = sea
    refused = run(hub, "resolve", "--region", "th", "--index", "hub")
    assert refused.exit_code == 1
    assert "has no index of accepted adapters" in refused.stderr
    assert run(hub, "search", "--index", "hub").exit_code == 1
    shipped = run(hub, "search", "--json")
    assert NOTE in shipped.stderr
    assert {row["index"] for row in json.loads(shipped.stdout)} == {"shipped"}
    register(store, shipped_documents()[0])
    both = {name: json.loads(run(hub, "search", "--index", name, "--json").stdout)
            for name in ("hub", "shipped")}  # fmt: skip
    assert [row["index"] for row in both["hub"]] == ["hub"]
    assert len(both["shipped"]) == len(shipped_documents())
    locked = run(hub, "pull", "--region", "th", "--locked", "--index", "shipped")
    assert locked.exit_code != 0


def test_gated_bases_are_choices_and_their_page_is_named(sea, tmp_path):
    hub, store = sea
    store.add_account("owner", orgs=["google"])
    api = HfApi(hub.endpoint, token=store.new_token("owner", "write"))
    for document in shipped_documents():
        if (base := document.card.base.repo).startswith("google/"):
            api.update_repo_settings(base, gated="manual")
    shown = run(hub, "pull", "--region", "th", "-o", tmp_path / "out")
    assert shown.exit_code == 2, shown.output
    assert "gated (google/gemma-3-4b-it)" in shown.stderr
    assert "--adapter aisingapore/Qwen-SEA-LION-v4-4B-VL" in shown.stderr
    named = run(hub, "pull", "--region", "th", "--adapter", GEMMA, "--beta", "1",
                "-o", tmp_path / "out")  # fmt: skip
    assert named.exit_code == 1
    assert f"Accept it at {hub.endpoint}/google/gemma-3-4b-it" in named.stderr


def test_a_lock_of_another_version_says_which_to_install(sea, tmp_path, monkeypatch):
    hub, _ = sea
    out = tmp_path / "out"
    made = run(hub, "pull", "--region", "th", "--adapter", GEMMA, "--beta", "1", "-o", out)
    assert made.exit_code == 0, made.output
    monkeypatch.setattr(entries, "shipped_cards", lambda: tmp_path / "nothing")
    changed = run(hub, "pull", "--region", "th", "-o", out, "--locked")
    assert changed.exit_code == 1
    assert "Install the version that the lock file names" in changed.stderr


def test_what_works_without_a_network_is_said(tmp_path):
    unreachable = Hub("http://127.0.0.1:9")
    failed = run(unreachable, "pull", "--region", "th", "-o", tmp_path / "out")
    assert failed.exit_code == 1
    assert "the hub could not be reached (http://127.0.0.1:9): " in failed.stderr
    for words in ("--hub embedded", "--index shipped", "--offline"):
        assert words in failed.stderr
    listed = run(unreachable, "search", "--index", "shipped")
    assert listed.exit_code == 0
    assert GEMMA in listed.stdout


def test_who_registered_a_file_is_found_by_its_sha256(seeded, tmp_path):
    listing = accepted_entries(seeded, ["th"])
    card = listing.entries[0].document.card
    sha256 = card.files["adapter_model.safetensors"].sha256
    found = json.loads(run(seeded, "search", "--sha256", sha256, "--json").stdout)
    assert [(row["adapter"], row["file"], row["registered_by"]) for row in found] == [
        ("ggez-world/clip-emoji-th", "adapter_model.safetensors", card.registered_by)
    ]
    (tmp_path / "mine.safetensors").write_bytes(b"mine")
    unknown = run(seeded, "search", "--sha256", tmp_path / "mine.safetensors")
    assert "No accepted adapter has this file" in unknown.stdout
    fetched = seeded.fetch(card.adapter.repo, card.adapter.revision, [
        f for f in seeded.at_commit(card.adapter.repo, "main").files
        if f.path == "adapter_model.safetensors"
    ])  # fmt: skip
    by_file = run(seeded, "search", "--sha256", fetched / "adapter_model.safetensors")
    assert "ggez-world/clip-emoji-th" in by_file.stdout
    assert sha256 in by_file.stdout
    wrong = run(seeded, "search", "--sha256", tmp_path / "absent")
    assert (wrong.exit_code, "there is no such file" in wrong.stderr) == (2, True)


def test_on_80_columns_who_registered_a_file_is_shown_whole(seeded, monkeypatch, capsys):
    card = accepted_entries(seeded, ["th"]).entries[0].document.card
    sha256 = card.files["adapter_model.safetensors"].sha256
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    cli(["search", "--sha256", sha256, "--hub", seeded.endpoint], standalone_mode=False)
    _, header, row = capsys.readouterr().out.splitlines()
    assert "registered by" in header
    assert row.split() == [card.adapter.repo, "active", card.published_by, card.registered_by]
