"""The user's embedded hub: what is published there is signed by its own key, and trusted there and nowhere else."""

from __future__ import annotations

import shutil
from dataclasses import replace

import pytest

from ggez_hub.errors import MissingExtra
from ggez_hub.hub import Hub
from ggez_hub.hub_connection import connect
from ggez_hub.registry.constants import INDEX_REPO, SIGNING_KEY, VERIFYING_KEY
from ggez_hub.registry.index.build import publish_index
from ggez_hub.registry.index.search import accepted_entries
from ggez_hub.registry.publication.result import deliver
from ggez_hub.registry.trust import own_key
from ggez_hub.registry.trust.checks import signer_of, verify_folder
from ggez_hub.registry.trust.freshness import UntrustedIndex
from ggez_hub.registry.trust.memory import seen_index
from ggez_hub.registry.trust.statement import SIGNATURE_FILE, BadSignature

from ..worlds import serving
from .signing import new_key, trust

MODEL = "acme/thai"


@pytest.fixture
def embedded(assets, hub_of, tmp_path):
    """A hub as `--hub embedded` gives it, and its store."""
    hub, store = hub_of(assets)
    return own_hub(hub.endpoint, store), store


def own_hub(endpoint, store):
    return Hub(endpoint, store.owner_token(), temporary=True, folder=store.root)


def publish(hub, content=b"weights"):
    files = {"model.safetensors": content, "README.md": b"# Thai\n"}
    return deliver(hub, MODEL, files, "Publish", "", private=False, pr=False)


def signer(hub):
    at = hub.at_commit(MODEL, "main")
    return signer_of(hub, at, {"model.safetensors": None})


def test_what_is_published_is_signed_by_the_hubs_own_key(embedded, tmp_path):
    hub, store = embedded
    first = publish(hub)
    required = replace(hub, signatures="required")
    assert signer(required).startswith("key ")
    key = (store.root / SIGNING_KEY).read_bytes()
    assert (store.root / SIGNING_KEY).stat().st_mode & 0o777 == 0o600
    # Repeated, nothing is sent; other files are signed anew, by the same key.
    assert publish(hub).changed == ()
    assert publish(hub, b"other").revision != first.revision
    assert (store.root / SIGNING_KEY).read_bytes() == key
    assert signer(required).startswith("key ")
    # Elsewhere the key counts when its owner says so.
    with pytest.raises(BadSignature, match=r"nobody in trust\.yaml"):
        signer(replace(required, folder=None))
    at = hub.at_commit(MODEL, "main")
    folder = shutil.copytree(hub.fetch(MODEL, at.revision, at.files), tmp_path / "copy")
    trust(store.root / VERIFYING_KEY, "acme")
    assert verify_folder(folder, folder / SIGNATURE_FILE, "acme").files.keys() == {
        "model.safetensors",
        "README.md",
    }


def test_another_key_does_not_count(embedded, tmp_path):
    hub, store = embedded
    publish(hub)
    (_, stranger) = new_key(tmp_path)
    (store.root / VERIFYING_KEY).write_bytes(stranger.read_bytes())
    with pytest.raises(BadSignature, match="does not count"):
        signer(hub)


def test_the_index_is_signed_and_cannot_be_taken_back(embedded, tmp_path):
    """Although the hub has another address each time."""
    hub, store = embedded
    at = hub.at_commit(INDEX_REPO, "main", "dataset")
    fetched = hub.fetch(INDEX_REPO, at.revision, at.files, "dataset")
    cards = shutil.copytree(fetched / "cards", tmp_path / "cards")
    publish_index(cards, hub)
    required = replace(hub, signatures="required")
    assert accepted_entries(required).entries
    older = store.head("dataset", INDEX_REPO)
    next(cards.rglob("*.md")).unlink()
    publish_index(cards, hub)
    newer = store.head("dataset", INDEX_REPO)
    accepted_entries(required)
    assert seen_index(hub).number == 2
    repo = store.repo("dataset", INDEX_REPO)
    with serving(store) as endpoint:
        elsewhere = own_hub(endpoint, store)
        accepted_entries(elsewhere)
        with store.git(repo) as git, git.lock():
            git.move(b"refs/heads/main", newer, older)
        with pytest.raises(UntrustedIndex, match="number 2"):
            accepted_entries(elsewhere)
        accepted_entries(replace(elsewhere, allow_stale=True))


def test_without_the_extra_nothing_is_signed(embedded, monkeypatch):
    hub, store = embedded

    def missing(extra, *libraries):
        raise MissingExtra(libraries[0], extra)

    monkeypatch.setattr(own_key, "require", missing)
    publish(hub)
    assert hub.at_commit(MODEL, "main").file(SIGNATURE_FILE) is None
    assert not (store.root / SIGNING_KEY).exists()


def test_the_embedded_hub_of_a_command(home):
    for content, changed in ((b"one", True), (b"one", False), (b"two", True)):
        with connect("embedded", quiet=True) as hub:
            assert bool(publish(hub, content).changed) == changed
            assert signer(replace(hub, signatures="required")).startswith("key ")
    assert hub.folder is not None
    assert home in hub.folder.parents
