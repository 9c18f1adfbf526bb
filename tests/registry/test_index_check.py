"""`index verify`: what accepted cards say, against a hub that has changed since."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ggez_hub.cards import CardDocument, render_card
from ggez_hub.cards.schema import Location
from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import BASE_REPO
from ggez_hub.registry.constants import INDEX_REPO

from ..worlds import card

WHO = {"message": "x", "author": "x", "email": "x@x", "date": 1_800_000_000}
TH, SEA = f"{BASE_REPO}-th", f"{BASE_REPO}-southeast-asia"
PATH = "cards/th/embedding/clip-emoji-th.md"
OTHER = {"size": 3, "sha256": "0" * 64}
UNPINNED = {
    "level": "declared", "curve": "unknown", "parity": "independent", "baselines": None, "seeds": [], "files": "unknown",
    "base": {"repo": BASE_REPO, "revision": "main", "weights": "unknown"},
}  # fmt: skip


def verify(hub):
    result = CliRunner().invoke(cli, ["index", "verify", "--hub", hub.endpoint, "--json"])
    found = json.loads(result.stdout)
    assert result.exit_code == (0 if found["ok"] else 1)
    assert found["ok"] == (not found["problems"])
    for problem in found["problems"]:
        assert f"{problem['card']}: {problem['repo']} {problem['problem']}" in result.stderr
    return found


@pytest.fixture
def put(assets, hub_of):
    """A function that changes the registry's card of th, and gives the hub and its store."""
    hub, store = hub_of(assets)
    folder = assets / "embedding" / "th"

    def change(*, repo=TH, revision=None, license_id="apache-2.0", **changes):
        location = Location(repo=repo, revision=revision or store.head("model", TH))
        document = card("th", assets / "embedding" / "base", folder, adapter=location, **changes)
        front = document.front_matter | {"license": license_id}
        text = render_card(CardDocument(document.card, front, document.prose))
        store.commit("dataset", INDEX_REPO, {PATH: text.encode()}, **WHO)
        return hub, store

    return change


def test_a_good_index(seeded):
    found = verify(seeded)
    assert found == {"ok": True, "problems": [], "checked": 2, "unpinned": [], "yanked": []}
    shown = CliRunner().invoke(cli, ["index", "verify", "--hub", seeded.endpoint])
    assert "2 accepted cards are what the hub has" in shown.stdout


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"repo": "org/gone"}, "needs org/gone, which is gone or private"),
        ({"revision": "a" * 40}, "aaaaaaaaaaaa, a commit that is gone"),
        ({"files": {"adapter_model.safetensors": OTHER}}, "has another adapter_model.safetensors"),
        ({"files": {"x.safetensors": OTHER}}, "lacks x.safetensors"),
        ({"base": UNPINNED["base"] | {"weights": {"open_clip_model.safetensors": "0" * 64}}},
         "fits other weights than those of"),
        ({"base": UNPINNED["base"] | {"repo": "org/base", "weights": {"m.safetensors": "0" * 64}}},
         "org/base"),
        ({"license_id": "mit"}, "has the licence apache-2.0 on the hub, mit in its card"),
    ],
)  # fmt: skip
def test_a_problem_is_named(put, changes, reason):
    hub, _ = put(**changes)
    found = verify(hub)["problems"]
    assert {p["card"] for p in found} == {PATH}
    assert any(reason in p["problem"] for p in found)


def test_a_card_that_is_not_pinned_yet_is_told_apart(put):
    hub, store = put(**UNPINNED, revision="main")
    assert verify(hub) | {"checked": 2} == {
        "ok": True, "problems": [], "checked": 2, "unpinned": [TH], "yanked": [],
    }  # fmt: skip
    store.delete_repo(store.repo("model", TH))
    assert not verify(hub)["ok"]


def test_a_yanked_adapter_may_be_gone(put):
    hub, store = put(status={"state": "yanked", "reason": "wrong data"})
    store.delete_repo(store.repo("model", TH))
    found = verify(hub)
    assert (found["ok"], found["checked"], found["yanked"]) == (True, 1, [TH])


def test_a_card_that_cannot_be_read_is_a_problem(put):
    hub, store = put()
    store.commit("dataset", INDEX_REPO, {"cards/th/vlm/broken.md": b"---\nx: [\n---\n"}, **WHO)
    (problem,) = verify(hub)["problems"]
    assert problem["card"] == "cards/th/vlm/broken.md"
