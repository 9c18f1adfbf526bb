"""`index publish`: the data set holds exactly the accepted cards, and a resolve reads the file."""

from __future__ import annotations

import shutil

import pytest

from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.index.build import publish_index
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import resolve


@pytest.fixture
def curator(assets, hub_of):
    """The world's hub with the index's owner signed in."""
    hub, store = hub_of(assets)
    store.add_account("curator", orgs=["ggez-hub"])
    return Hub(hub.endpoint, store.new_token("curator", "write"))


@pytest.fixture
def cards(curator, tmp_path):
    """The cards that the hub has now, as a folder."""
    at = curator.at_commit(INDEX_REPO, "main", "dataset")
    fetched = curator.fetch(INDEX_REPO, at.revision, at.files, "dataset")
    return shutil.copytree(fetched / "cards", tmp_path / "cards")


def paths(hub):
    return {file.path for file in hub.at_commit(INDEX_REPO, "main", "dataset").files}


def test_one_commit_brings_cards_and_file_and_a_repeat_nothing(curator, cards):
    before = resolve(Request("th"), curator).resolution
    done = publish_index(cards, curator)
    assert done.changed == (INDEX_FILE,)
    assert INDEX_FILE in paths(curator)
    again = publish_index(cards, curator)
    assert (again.changed, again.revision) == ((), done.revision)
    after = resolve(Request("th"), curator).resolution
    assert after.merge_digest == before.merge_digest
    assert after.adapters[0].card.revision == done.revision


def test_a_card_that_is_gone_is_gone(curator, cards):
    publish_index(cards, curator)
    (removed,) = (cards / "th").rglob("*.md")
    removed.unlink()
    done = publish_index(cards, curator)
    assert f"cards/{removed.relative_to(cards).as_posix()}" in done.changed
    assert f"cards/{removed.relative_to(cards).as_posix()}" not in paths(curator)
    # What is left for Thailand is the adapter of the larger region.
    assert resolve(Request("th"), curator).resolution.adapters[0].region == "southeast-asia"


def test_a_bad_card_stops_it_before_anything_is_sent(curator, cards):
    head = curator.at_commit(INDEX_REPO, "main", "dataset").revision
    (cards / "th" / "embedding" / "bad.md").write_text("nothing")
    with pytest.raises(GgezError, match=r"bad\.md"):
        publish_index(cards, curator)
    assert curator.at_commit(INDEX_REPO, "main", "dataset").revision == head
    done = publish_index(cards, curator, skip_bad=True)
    assert "cards/th/embedding/bad.md" not in paths(curator)
    assert [bad.path for bad in done.built.bad] == ["cards/th/embedding/bad.md"]


def test_an_empty_or_wrong_folder_does_not_replace_the_index(curator, tmp_path):
    head = curator.at_commit(INDEX_REPO, "main", "dataset").revision
    (tmp_path / "wrong" / "th").mkdir(parents=True)
    (tmp_path / "wrong" / "th" / "card.md").write_text("nothing")
    for folder in (tmp_path / "wrong", tmp_path / "wrong" / "th"):
        with pytest.raises(GgezError, match="holds no card that can be accepted") as problem:
            publish_index(folder, curator, skip_bad=True)
        assert "--allow-empty" in problem.value.hint
    assert curator.at_commit(INDEX_REPO, "main", "dataset").revision == head
    assert publish_index(tmp_path / "wrong", curator, allow_empty=True).built.cards == 0
