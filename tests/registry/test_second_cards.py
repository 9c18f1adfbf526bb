"""A repository has one active card: held where an index is made, sent and read, and never at others' cost."""

from __future__ import annotations

import json
import sqlite3

import pytest
from click.testing import CliRunner

from ggez_hub.cards import parse_card, render_card
from ggez_hub.cards.schema import Location, Status
from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.hub.commits import gate
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.index.build import build_index, publish_index, read_entry
from ggez_hub.registry.index.file import COLUMNS, read_index
from ggez_hub.registry.index.search import accepted_entries, live_entries
from ggez_hub.registry.pull.choices import decide
from ggez_hub.registry.request import Request

from ..worlds import BASE_REPO, card

WHO = {"message": "x", "author": "x", "email": "x@x", "date": 1_800_000_000}
TH = f"{BASE_REPO}-th"
FIRST = "cards/th/embedding/clip-emoji-th.md"
REASON = f"speaks for the same adapter as {FIRST}"


@pytest.fixture(params=["southeast-asia", "th"])
def second(request, assets, hub_of, tmp_path):
    """A hub, its index's cards as a folder, and a second card of th's adapter, in that region or th."""
    hub, store = hub_of(assets)
    store.add_account("curator", orgs=["ggez-hub"])
    curator = Hub(hub.endpoint, store.new_token("curator", "write"))
    at = hub.at_commit(INDEX_REPO, "main", "dataset")
    folder = tmp_path / "cards"
    for file in at.files:
        if file.path.startswith("cards/"):
            (path := tmp_path / file.path).parent.mkdir(parents=True, exist_ok=True)
            path.write_text(hub.read_text(INDEX_REPO, at.revision, file.path, "dataset"))
    revision = store.head("model", TH)
    first = parse_card((tmp_path / FIRST).read_text(), FIRST)
    place = first.card.adapter.model_copy(update={"registered": "2026-01-01"})
    (tmp_path / FIRST).write_text(render_card(first.with_card(adapter=place)))
    store.commit("dataset", INDEX_REPO, {FIRST: tmp_path / FIRST}, **WHO)
    # As of one that serves both, named in other letters.
    place = Location(repo=TH.replace("emoji", "Emoji"), revision=revision, registered="2026-01-02")
    document = card(request.param, assets / "embedding" / "base", assets / "embedding" / "th",
                    adapter=place, countries=["th"])  # fmt: skip
    name = f"{request.param}/embedding/again.md"
    (folder / name).write_text(render_card(document))
    return curator, store, folder, f"cards/{name}"


def test_an_index_is_not_built_with_it_and_can_be_built_without(second, tmp_path):
    _, _, folder, path = second
    with pytest.raises(GgezError, match=REASON):
        build_index(folder, tmp_path / "index.sqlite")
    built = build_index(folder, tmp_path / "index.sqlite", skip_bad=True)
    assert [(bad.path, built.cards) for bad in built.bad] == [(path, 2)]
    assert REASON in built.bad[0].reason


def test_an_index_is_not_published_with_it(second):
    hub, _, folder, path = second
    head = hub.at_commit(INDEX_REPO, "main", "dataset").revision
    with pytest.raises(GgezError, match=REASON):
        publish_index(folder, hub)
    assert hub.at_commit(INDEX_REPO, "main", "dataset").revision == head
    publish_index(folder, hub, skip_bad=True)
    assert hub.at_commit(INDEX_REPO, "main", "dataset").file(path) is None


@pytest.mark.parametrize("as_file", [False, True], ids=["cards", "file"])
def test_a_hub_whose_index_has_it_serves_everybody_else(second, tmp_path, as_file):
    hub, store, folder, path = second
    files = {path: (folder.parent / path).read_bytes()}
    if as_file:
        # As an older program, or a careless one, would write it.
        index = tmp_path / INDEX_FILE
        build_index(folder, index, skip_bad=True)
        row, ranking = read_entry(folder, path.removeprefix("cards/"))
        with sqlite3.connect(index) as file:
            marks = ", ".join("?" * (len(COLUMNS) + 1))
            file.execute("DELETE FROM unreadable")
            columns = ", ".join((*COLUMNS, "ranking"))
            file.execute(
                f"INSERT INTO entries ({columns}) VALUES ({marks})",  # noqa: S608
                (*(getattr(row, name) for name in COLUMNS), ranking),
            )
        files[INDEX_FILE] = index
    store.commit("dataset", INDEX_REPO, files, **WHO)
    resolved = decide(Request("th"), hub, tmp_path / "out").resolution
    assert resolved.adapters[0].card.path == FIRST
    assert [r.reason for r in resolved.rejected if r.repo == path] == [f"{path}: {REASON}: {RULE}"]
    named = decide(Request("th", adapters=(TH,)), hub, tmp_path / "out").resolution
    assert named.adapters[0].card.path == FIRST
    found = json.loads(
        CliRunner().invoke(cli, ["index", "verify", "--hub", hub.endpoint, "--json"]).stdout
    )
    assert [problem["card"] for problem in found["problems"]] == [path]


RULE = (
    "a repository has one active card; one that serves several countries is registered for a group "
    "of them"
)


def test_a_wrong_card_is_yanked_and_another_takes_its_place(second, tmp_path):
    hub, _, folder, path = second
    wrong = folder.parent / FIRST
    document = parse_card(wrong.read_text(), FIRST)
    status = Status(state="yanked", reason="registered for the wrong region")
    wrong.write_text(render_card(document.with_card(status=status)))
    index = tmp_path / INDEX_FILE
    assert build_index(folder, index).cards == 3
    rows, listing = read_index(index)
    assert {row.path for row, _ in rows} >= {FIRST, path}
    assert listing.yanked == {}
    publish_index(folder, hub)
    assert live_entries(hub, ["th"]).entries[0].summary.state == "active"
    assert {e.card.path for e in accepted_entries(hub).entries} >= {FIRST, path}


def test_a_poisoned_repository_stops_no_live_search(assets, hub_of):
    """Anybody may give a repository the tags of adapters."""
    hub, store = hub_of(assets)
    before = live_entries(hub, ["th"])
    store.add_account("mallory")
    theirs = Hub(hub.endpoint, store.new_token("mallory", "write"))
    tags = b"---\ntags: [ggez, 'ggez-region:th']\n---\n"
    theirs.api.create_repo("mallory/gated")
    theirs.api.upload_file(path_or_fileobj=tags, path_in_repo="README.md", repo_id="mallory/gated")
    gate(theirs, "mallory/gated")
    assert "mallory/gated" in dict(hub.discover(["ggez", "ggez-region:th"]))
    found = live_entries(hub, ["th"])
    assert [e.repo for e in found.entries] == [e.repo for e in before.entries] != []
    (bad,) = found.unreadable
    assert bad.path == "mallory/gated"
    assert "restricted" in bad.reason
