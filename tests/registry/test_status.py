"""Deprecated, yanked and superseded adapters, and `registry stale`."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.demo.hub import BASE_REPO
from ggez_hub.registry.constants import INDEX_REPO
from ggez_hub.registry.index.entries import accepted, card_path
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve

from ..worlds import card, write_card

WHO = {"message": "x", "author": "x", "email": "x@x", "date": 1_800_000_000}
TH = f"{BASE_REPO}-th"
SEA = f"{BASE_REPO}-southeast-asia"
YANKED = {"state": "yanked", "reason": "wrong data"}


def run(*arguments):
    return CliRunner().invoke(cli, [str(a) for a in arguments])


def restate(hub, store, assets, region, status):
    """Give the index's copy of a card another status; the adapter's repository is not touched."""
    folder = assets / "embedding" / region
    document = card(region, assets / "embedding" / "base", folder, status=status)
    repo = f"{BASE_REPO}-{region}"
    text = accepted(document, repo, store.head("model", repo))
    store.commit("dataset", INDEX_REPO, {card_path(document, repo): text.encode()}, **WHO)


def test_a_deprecated_adapter_names_its_successor(assets, hub_of):
    hub, store = hub_of(assets)
    restate(hub, store, assets, "th", {"state": "deprecated", "superseded_by": SEA})
    resolved = resolve(Request("th"), hub).resolution
    assert resolved.adapters[0].source.repo == SEA
    (rejected,) = [r for r in resolved.rejected if r.repo == TH]
    assert rejected.reason == f"is deprecated: no reason given; superseded by {SEA}"


def test_a_yanked_adapter_is_never_taken_not_even_live(assets, hub_of):
    hub, store = hub_of(assets)
    live = Request("th", live=True, trust="any")
    assert resolve(live, hub).resolution.adapters[0].source.repo == TH
    # Its owner's card still says that it is active.
    restate(hub, store, assets, "th", YANKED)
    for request in (live, Request("th")):
        resolved = resolve(request, hub).resolution
        assert resolved.adapters[0].source.repo == SEA
        assert "is yanked: wrong data" in {r.reason for r in resolved.rejected}
    restate(hub, store, assets, "southeast-asia", YANKED)
    for request in (live, Request("th")):
        with pytest.raises(NoAdapter, match="is yanked: wrong data"):
            resolve(request, hub)


def test_a_lock_of_a_yanked_adapter_still_works_and_warns(assets, hub_of, tmp_path):
    hub, store = hub_of(assets)
    pull = ("pull", "--region", "th", "--hub", hub.endpoint, "-o")
    first = run(*pull, tmp_path / "first")
    assert first.exit_code == 0, first.output
    lock = tmp_path / "first" / "ggez.lock"
    again = run(*pull, tmp_path / "again", "--locked", "--lock", lock)
    assert "warning" not in again.stderr
    restate(hub, store, assets, "th", YANKED)
    warned = run(*pull, tmp_path / "warned", "--locked", "--lock", lock)
    assert warned.exit_code == 0, warned.output
    assert f"warning: {TH} was yanked: wrong data" in warned.stderr
    assert (tmp_path / "warned" / "ggez.lock").read_bytes() == lock.read_bytes()


def test_a_folder_of_a_yanked_adapter_is_named(assets, hub_of, tmp_path):
    hub, store = hub_of(assets)
    pull = ("pull", "--region", "th", "--hub", hub.endpoint, "-o", tmp_path / "out")
    assert run(*pull).exit_code == 0
    restate(hub, store, assets, "th", YANKED)
    again = run(*pull)
    assert again.exit_code == 1
    warned = f"warning: {tmp_path / 'out'} holds a model of what is out of use: {TH} was yanked: wrong data"
    assert warned in again.stderr
    assert "holds another pull" in again.stderr


def test_search_shows_the_status(assets, hub_of):
    hub, store = hub_of(assets)
    restate(
        hub, store, assets, "th", {"state": "deprecated", "reason": "old", "superseded_by": SEA}
    )
    shown = run("search", "--region", "th", "--hub", hub.endpoint)
    assert f"deprecated: old; superseded by {SEA}" in shown.stdout
    found = json.loads(run("search", "--region", "th", "--hub", hub.endpoint, "--json").stdout)
    assert {f["adapter"]: (f["status"], f["superseded_by"]) for f in found} == {
        TH: ("deprecated", SEA), SEA: ("active", None),
    }  # fmt: skip


def stale(hub, *options):
    result = run("registry", "stale", "--hub", hub.endpoint, "--json", *options)
    assert result.exit_code == 0, result.output
    return {(s["repo"], s["why"]): s for s in json.loads(result.stdout)}


def test_nothing_is_stale(seeded):
    assert stale(seeded) == {}
    assert "Nothing is stale." in run("registry", "stale", "--hub", seeded.endpoint).stdout


def test_what_has_another_status_is_stale(assets, hub_of):
    hub, store = hub_of(assets)
    restate(hub, store, assets, "th", {"state": "deprecated", "superseded_by": SEA})
    restate(hub, store, assets, "southeast-asia", YANKED | {"superseded_by": "org/gone"})
    found = stale(hub)
    assert found[TH, "deprecated"]["successor"] == "org/gone"
    assert (
        f"{TH} > {SEA} > org/gone, which is not in the index" in found[TH, "deprecated"]["reason"]
    )
    assert found[SEA, "yanked"]["reason"].startswith("wrong data; superseded")
    # The chain of the whole index, of one region.
    assert stale(hub, "--region", "th") == {
        (TH, "deprecated"): found[TH, "deprecated"],
    }


def test_a_circle_of_successors_ends(assets, hub_of):
    hub, store = hub_of(assets)
    restate(hub, store, assets, "th", {"state": "active", "superseded_by": SEA})
    restate(hub, store, assets, "southeast-asia", {"state": "active", "superseded_by": TH})
    found = stale(hub)
    assert "in a circle" in found[TH, "superseded"]["reason"]
    assert found[SEA, "superseded"]["successor"] is None


def test_a_base_with_other_weights_on_main_is_stale(assets, hub_of):
    hub, store = hub_of(assets)
    pinned = {"revision": store.head("model", BASE_REPO)}
    for region in ("th", "southeast-asia"):
        folder = assets / "embedding" / region
        document = card(region, assets / "embedding" / "base", folder)
        base = document.card.base.model_copy(update=pinned)
        moved = document.card.model_copy(update={"base": base})
        write_card(folder, type(document)(moved, document.front_matter, document.prose))
    store.commit("model", BASE_REPO, {"notes.md": b"weights as before"}, **WHO)
    assert stale(hub) == {}
    other = (assets / "embedding" / "th" / "adapter_model.safetensors").read_bytes()
    store.commit("model", BASE_REPO, {"open_clip_model.safetensors": other}, **WHO)
    found = stale(hub)
    assert set(found) == {(TH, "base"), (SEA, "base")}
    assert "other weights on main" in found[TH, "base"]["reason"]
    store.delete_repo(store.repo("model", BASE_REPO))
    assert "gone or private" in stale(hub)[TH, "base"]["reason"]
