"""A merged model that was pushed is taken, and checked, instead of merging again."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace

import pytest
from click.testing import CliRunner

from ggez_hub.cli.main import cli
from ggez_hub.digests import sha256_file
from ggez_hub.hub import Hub
from ggez_hub.registry.lock import read_lock
from ggez_hub.registry.publication.result import push
from ggez_hub.registry.pull.plan import plan
from ggez_hub.registry.pull.published_merge import find_published, merge_tag, owners_trusted
from ggez_hub.registry.pull.pull import carry_out
from ggez_hub.registry.request import Request

pytestmark = pytest.mark.slow

WEIGHTS = "open_clip_model.safetensors"
REPO = "ggez-hub/clip-emoji-thai-merged"


@pytest.fixture
def writing(assets, hub_of):
    """The world's hub with an account of the index's owner."""
    hub, store = hub_of(assets)
    store.add_account("curator", orgs=["ggez-hub", "someone"])
    return Hub(hub.endpoint, store.new_token("curator", "write"))


def pushed(hub, out, repo=REPO, **options):
    planned = plan(Request("th"), hub)
    pulled = carry_out(planned, hub, out)
    return planned, pulled, push(pulled, planned.obligations, hub, repo, **options)


def fresh_cache(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "fresh"))


def test_what_was_pushed_is_taken_and_is_the_same(writing, tmp_path, monkeypatch):
    planned, pulled, done = pushed(writing, tmp_path / "out")
    assert done.tag == "v1"
    fresh_cache(monkeypatch, tmp_path)
    again = carry_out(planned, writing, tmp_path / "again", owners=owners_trusted("curated"))
    assert again.published == f"{REPO}@{done.revision}"
    assert again.lock.outputs == pulled.lock.outputs
    # Neither base nor adapter was fetched.
    cached = {path.name for path in (tmp_path / "fresh").iterdir()}
    assert "models--ggez-hub--clip-emoji-thai-merged" in cached
    assert not list((tmp_path / "fresh").glob("models--ggez-world*/snapshots/*/*.safetensors"))
    locked = read_lock(tmp_path / "again" / "ggez.lock")
    assert locked.resolution == planned.resolution


def test_pushing_again_sends_nothing(writing, tmp_path):
    planned, pulled, done = pushed(writing, tmp_path / "out")
    again = push(pulled, planned.obligations, writing, REPO)
    assert (again.changed, again.tag, again.revision) == ((), "v1", done.revision)


def test_where_the_inputs_are_here_it_is_merged_here(writing, tmp_path):
    planned, _, _ = pushed(writing, tmp_path / "out")
    again = carry_out(planned, writing, tmp_path / "again", owners=owners_trusted("curated"))
    assert again.published is None


def test_a_strangers_merged_model_is_not_taken(writing, tmp_path, monkeypatch):
    planned, _, _ = pushed(writing, tmp_path / "out", repo="someone/merged")
    fresh_cache(monkeypatch, tmp_path)
    for trust in ("curated", "any", "another"):
        assert find_published(planned.resolution, writing, owners_trusted(trust)) is None
    assert find_published(planned.resolution, writing, owners_trusted("someone,x")) is not None


def test_another_beta_is_another_model(writing, tmp_path, monkeypatch):
    pushed(writing, tmp_path / "out")
    fresh_cache(monkeypatch, tmp_path)
    other = plan(Request("th", beta=0.3), writing)
    taken = carry_out(other, writing, tmp_path / "other", owners=owners_trusted("curated"))
    assert taken.published is None


@pytest.mark.parametrize("change", ["weights", "lock", "no lock"])
def test_what_does_not_fit_its_lock_is_merged_here(writing, tmp_path, monkeypatch, change):
    planned, pulled, _ = pushed(writing, tmp_path / "out")
    files = {
        "weights": {WEIGHTS: (pulled.model / WEIGHTS).read_bytes()[:-1] + b"\0"},
        "lock": {"ggez.lock": b"{}"},
        "no lock": {},
    }[change]
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    operations += [] if files else [CommitOperationDelete("ggez.lock")]
    writing.api.create_commit(REPO, operations, commit_message="Change it")
    fresh_cache(monkeypatch, tmp_path)
    again = carry_out(planned, writing, tmp_path / "again", owners=owners_trusted("curated"))
    assert again.published is None
    assert again.lock.outputs == pulled.lock.outputs


def change(hub, pulled, files):
    """Change what was pushed, and its lock so that it fits: who can do one can do the other."""
    from huggingface_hub import CommitOperationAdd

    lock = json.loads((pulled.folder / "ggez.lock").read_text())
    for path, data in files.items():
        digest = hashlib.sha256(data).hexdigest()
        lock["outputs"][f"embedding/{path}"] = {"size": len(data), "sha256": digest}
    files = files | {"ggez.lock": json.dumps(lock).encode()}
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    hub.api.create_commit(REPO, operations, commit_message="Change it")


@pytest.mark.parametrize("path", ["open_clip_config.json", "modeling_evil.py", "pytorch_model.bin"])
def test_nothing_but_weights_is_another_than_the_bases(writing, tmp_path, monkeypatch, path):
    planned, pulled, _ = pushed(writing, tmp_path / "out")
    change(writing, pulled, {path: b"evil"})
    fresh_cache(monkeypatch, tmp_path)
    again = carry_out(planned, writing, tmp_path / "again", owners=owners_trusted("curated"))
    assert again.published is None
    assert again.lock.outputs == pulled.lock.outputs
    assert not list((tmp_path / "fresh").rglob(path)) or path == "open_clip_config.json"


def test_a_lock_of_ones_own_sees_through_a_forged_one(writing, tmp_path, monkeypatch):
    planned, pulled, _ = pushed(writing, tmp_path / "out")
    content = bytearray((pulled.model / WEIGHTS).read_bytes())
    content[-1] ^= 1
    change(writing, pulled, {WEIGHTS: bytes(content)})
    fresh_cache(monkeypatch, tmp_path)
    trusted = owners_trusted("curated")
    locked = replace(planned, lock=pulled.lock)
    again = carry_out(locked, writing, tmp_path / "again", owners=trusted)
    assert again.published is None
    assert again.lock == pulled.lock
    # Without one, the owner's word is all there is: that is what trusting an owner means.
    shutil.rmtree(tmp_path / "fresh")
    assert carry_out(planned, writing, tmp_path / "other", owners=trusted).published is not None


@pytest.mark.parametrize("content", [b"[" * 100_000, b"\xff\xfe", b"x" * 9_000_000])
def test_a_lock_that_is_a_bomb_is_passed_over(writing, tmp_path, monkeypatch, content):
    planned, _, _ = pushed(writing, tmp_path / "out")
    writing.api.upload_file(path_or_fileobj=content, path_in_repo="ggez.lock", repo_id=REPO)
    fresh_cache(monkeypatch, tmp_path)
    again = carry_out(planned, writing, tmp_path / "again", owners=owners_trusted("curated"))
    assert again.published is None


def test_it_costs_one_request_at_most(writing, tmp_path, monkeypatch):
    planned, trusted = plan(Request("th"), writing), owners_trusted("curated")
    asked = []
    real = Hub.discover
    monkeypatch.setattr(Hub, "discover", lambda *args: asked.append(args) or real(*args))
    # Nobody has published it: one search. The inputs are here: none.
    assert carry_out(planned, writing, tmp_path / "a", owners=trusted).published is None
    assert len(asked) == 1
    assert carry_out(planned, writing, tmp_path / "b", owners=trusted).published is None
    assert len(asked) == 1


def test_the_command_pushes_and_takes(writing, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", writing.token)
    from huggingface_hub import constants

    # As HF_ENDPOINT would set them when the client is imported.
    template = writing.endpoint + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "ENDPOINT", writing.endpoint)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    command = ["pull", "--region", "th", "--hub", writing.endpoint]
    runner = CliRunner()
    first = runner.invoke(cli, [*command, "-o", str(tmp_path / "out"), "--push", REPO])
    assert first.exit_code == 0, first.output
    assert f"{REPO} @" in first.output
    assert "is v1: sent" in first.output
    fresh_cache(monkeypatch, tmp_path)
    second = runner.invoke(cli, [*command, "-o", str(tmp_path / "second"), "--json"])
    assert json.loads(second.stdout)["published"].startswith(REPO)
    shutil.rmtree(tmp_path / "fresh")
    here = runner.invoke(cli, [*command, "-o", str(tmp_path / "third"), "--merge-here", "--json"])
    assert json.loads(here.stdout)["published"] is None
    digests = {
        sha256_file(tmp_path / x / "embedding" / WEIGHTS) for x in ("out", "second", "third")
    }
    assert len(digests) == 1


def test_the_card_carries_the_tag(writing, tmp_path):
    planned, pulled, _ = pushed(writing, tmp_path / "out")
    assert merge_tag(planned.resolution) in (pulled.model / "README.md").read_text()
