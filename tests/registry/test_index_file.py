"""The index file: the same answers as all cards, deterministic, and no trust in what it says."""

from __future__ import annotations

import re
import shutil
import sqlite3
import zlib
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ggez_hub.demo.hub import ASSETS, seed
from ggez_hub.embedded.store import HubStore
from ggez_hub.errors import GgezError
from ggez_hub.hub import Hub
from ggez_hub.registry.constants import INDEX_FILE, INDEX_REPO
from ggez_hub.registry.file_checks import NotFit
from ggez_hub.registry.index import build as index_build
from ggez_hub.registry.index import search as index
from ggez_hub.registry.index.build import build_index, read_entry
from ggez_hub.registry.index.file import BadIndex, read_index, unpack_ranking
from ggez_hub.registry.index.search import NoIndex, accepted_entries
from ggez_hub.registry.request import Request
from ggez_hub.registry.resolver.resolver import NoAdapter, resolve

from ..faults import wire
from ..fuzzing import examples
from ..worlds import BASE_REPO, serving

WHO = {"message": "x", "author": "x", "email": "x@x", "date": 1_800_000_000}


@pytest.fixture(scope="module")
def cards(seeded, tmp_path_factory):
    """The cards of the seeded hub's index, as a folder."""
    at = seeded.at_commit(INDEX_REPO, "main", "dataset")
    fetched = seeded.fetch(INDEX_REPO, at.revision, at.files, "dataset")
    return shutil.copytree(fetched / "cards", tmp_path_factory.mktemp("index") / "cards")


@pytest.fixture
def copied(cards, tmp_path):
    return shutil.copytree(cards, tmp_path / "cards")


@pytest.fixture(scope="module")
def built(cards):
    out = cards.parent / INDEX_FILE
    build_index(cards, out)
    return out


def put(store, **files):
    return store.commit("dataset", INDEX_REPO, {k: files[k] for k in files}, **WHO)


def answer(request, hub):
    """A resolution without the commit of the index, or the message of its error."""
    try:
        found = resolve(request, hub)
    except NoAdapter as error:
        return error.message, error.hint
    (adapter,) = found.resolution.adapters
    pin = adapter.card.model_copy(update={"revision": "0" * 40})
    adapters = (adapter.model_copy(update={"card": pin}),)
    return found.resolution.model_copy(update={"adapters": adapters}), found.documents


@pytest.fixture
def indexed(assets, hub_of, built):
    """A hub whose index has the file."""
    hub, store = hub_of(assets)
    put(store, **{INDEX_FILE: built})
    return hub, store


@pytest.mark.parametrize(
    "request_",
    [Request("th"), Request("kh"), Request("southeast-asia"), Request("fr"), Request("fr", wide=True),
     Request("th", beta=0.3), Request("th", alpha=0.9), Request("th", family="vlm")],
    ids=str,
)  # fmt: skip
def test_the_file_gives_the_answers_of_the_cards(seeded, indexed, request_):
    hub, _ = indexed
    assert answer(request_, hub) == answer(request_, seeded)


def test_only_the_regions_that_are_asked_for_are_read(indexed):
    hub, _ = indexed
    listing = accepted_entries(hub, ["th"])
    assert [e.repo for e in listing.entries] == [f"{BASE_REPO}-th"]
    (other,) = listing.elsewhere
    assert (other.region, other.family, other.count) == ("southeast-asia", "embedding", 1)
    assert len(accepted_entries(hub).entries) == 2


def test_a_second_look_asks_only_for_the_commit_of_the_index(indexed):
    asked = []

    def heard(data):
        asked.extend(re.findall(rb"(?:GET|HEAD|POST) \S+", data))
        return data

    with wire(indexed[0].endpoint, lambda data: data, upstream=heard) as line:
        hub = Hub(line.endpoint)
        for _ in range(2):
            asked.clear()
            assert accepted_entries(hub, ["th"]).entries[0].document.card.region == "th"
    assert asked == [b"HEAD /datasets/ggez-hub/index/resolve/main/index.sqlite"]


def test_the_same_cards_give_the_same_bytes(copied, built, tmp_path, monkeypatch):
    # Read in parallel, and written to the disk in another order.
    for path in sorted(copied.rglob("*.md"), reverse=True):
        path.write_bytes(path.read_bytes())
    monkeypatch.setattr(index_build, "CARDS_BEFORE_PROCESSES", 0)
    build_index(copied, tmp_path / "again.sqlite")
    assert (tmp_path / "again.sqlite").read_bytes() == built.read_bytes()


def test_unchanged_cards_are_taken_from_an_earlier_file(copied, built, tmp_path, monkeypatch):
    (changed,) = copied.glob("th/*/*.md")
    changed.write_text(changed.read_text() + "More.\n")
    build_index(copied, tmp_path / "whole.sqlite")
    read = []

    def counted(cards, path):
        read.append(path)
        return read_entry(cards, path)

    monkeypatch.setattr(index_build, "read_entry", counted)
    build_index(copied, tmp_path / "quick.sqlite", previous=built)
    assert read == ["th/embedding/clip-emoji-th.md"]
    assert (tmp_path / "quick.sqlite").read_bytes() == (tmp_path / "whole.sqlite").read_bytes()


def break_one(cards):
    (path,) = cards.glob("th/*/*.md")
    path.write_text(path.read_text().replace("level: measured", "level: excellent"))
    return path.read_text().splitlines().index("  level: excellent") + 1


def test_a_bad_card_is_named_with_line_key_and_fix(copied, tmp_path):
    line = break_one(copied)
    with pytest.raises(GgezError) as caught:
        build_index(copied, tmp_path / "out.sqlite")
    assert (
        f"cards/th/embedding/clip-emoji-th.md is not a valid card:\n  line {line}: ggez.level"
        in (caught.value.message)
    )
    assert not (tmp_path / "out.sqlite").exists()
    built = build_index(copied, tmp_path / "out.sqlite", skip_bad=True)
    assert (built.cards, len(built.bad)) == (1, 1)
    (unreadable,) = read_index(tmp_path / "out.sqlite", ["th"])[1].unreadable
    assert unreadable.path == "cards/th/embedding/clip-emoji-th.md"
    assert list(tmp_path.glob(".*")) == []


def test_a_card_lies_where_its_region_and_family_say(copied, tmp_path):
    shutil.move(copied / "th", copied / "vn")
    with pytest.raises(GgezError, match="belongs in cards/th/embedding/"):
        build_index(copied, tmp_path / "out.sqlite")


def test_a_card_that_was_changed_after_the_file_was_built_is_not_taken(indexed, cards):
    hub, store = indexed
    (path,) = cards.glob("th/*/*.md")
    yanked = path.read_text().replace("state: active", "state: yanked")
    put(store, **{f"cards/{path.relative_to(cards).as_posix()}": yanked.encode()})
    resolved = resolve(Request("th"), hub)
    assert resolved.resolution.adapters[0].region == "southeast-asia"
    assert "not in the index as its card says" in resolved.resolution.rejected[0].reason


def edit(file, *statements):
    connection = sqlite3.connect(file)
    for statement in statements:
        connection.execute(*statement if isinstance(statement, tuple) else (statement,))
    connection.commit()
    connection.close()


@pytest.mark.parametrize(
    "lie",
    ["license = 'mit'", "kind = 'merged'", "repo = 'evil/adapter'", f"revision = '{'a' * 40}'",
     "base_weights = 'unknown'", "ranking = x''"],
)  # fmt: skip
def test_a_file_that_says_other_than_the_card_is_not_believed(assets, hub_of, built, tmp_path, lie):
    file = shutil.copy(built, tmp_path / "altered.sqlite")
    edit(file, f"UPDATE entries SET {lie} WHERE region = 'th'")  # noqa: S608
    hub, store = hub_of(assets)
    put(store, **{INDEX_FILE: file})
    entries = accepted_entries(hub, ["th"]).entries
    with pytest.raises(NotFit, match="is not in the index as"):
        _ = entries[0].document


RECURSIVE = (
    "CREATE VIEW entries AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n) "
    "SELECT i AS id FROM n"
)


@pytest.mark.parametrize(
    ("hostile", "words"),
    [
        (["DROP TABLE entries", RECURSIVE], "other tables"),
        (["CREATE TABLE more (x)"], "other tables"),
        (["CREATE TRIGGER t AFTER INSERT ON entries BEGIN SELECT 1; END"], "other tables"),
        (["PRAGMA user_version = 99"], "Update"),
        (["PRAGMA user_version = 0"], "Build it again"),
        (["PRAGMA application_id = 7"], "not an index of adapters"),
        (["UPDATE entries SET path = '../../etc/passwd'"], "no card has"),
        (["UPDATE entries SET repo = 'x/' || char(27) || '[2J'"], "no card has"),
        (["UPDATE entries SET region = 3"], "no card has"),
        (["UPDATE entries SET sha256 = x'00'"], "no card has"),
        (["UPDATE entries SET repo = CAST(x'ff' AS TEXT)"], "damaged"),
        (["UPDATE entries SET license = CAST(zeroblob(5000000) AS TEXT)"], "too big|no card has"),
    ],
)
def test_a_hostile_file_is_refused(built, tmp_path, hostile, words):
    file = shutil.copy(built, tmp_path / "hostile.sqlite")
    edit(file, *hostile)
    with pytest.raises(BadIndex) as caught:
        read_index(file)
    assert re.search(words, f"{caught.value.message} {caught.value.hint}")


def test_a_file_that_was_cut_is_refused(built, tmp_path):
    whole = built.read_bytes()
    for length in (0, 10, 99, 100, 4096, len(whole) // 2):
        (tmp_path / "cut.sqlite").write_bytes(whole[:length])
        with pytest.raises(BadIndex):
            read_index(tmp_path / "cut.sqlite")


@settings(max_examples=examples(100), deadline=None)
@given(place=st.integers(0, 40_000), byte=st.integers(0, 255))
def test_a_changed_byte_never_ends_in_another_error(built, place, byte):
    content = bytearray(built.read_bytes())
    content[place % len(content)] = byte
    changed = built.with_name("changed.sqlite")
    changed.write_bytes(content)
    with suppress(BadIndex):
        for _, packed in read_index(changed)[0]:
            unpack_ranking(packed)


def test_a_bomb_in_a_curve_is_refused():
    with pytest.raises(BadIndex, match="larger than a card"):
        unpack_ranking(zlib.compress(b" " * 100_000_000))
    with pytest.raises(BadIndex):
        unpack_ranking(zlib.compress(b'{"0": {"x": {"score": 1}}}'))
    with pytest.raises(BadIndex):
        unpack_ranking(b"no zlib")


def test_an_index_of_an_absurd_size_is_not_downloaded(indexed, monkeypatch):
    hub, _ = indexed
    monkeypatch.setattr(index, "MAX_INDEX_BYTES", 100)
    with pytest.raises(BadIndex, match="larger than 100 bytes"):
        accepted_entries(hub)


def test_without_an_index_there_is_none(tmp_path):
    with HubStore.open(tmp_path / "store") as store, serving(store) as endpoint:
        with pytest.raises(NoIndex):
            accepted_entries(Hub(endpoint))
        store.create_repo("dataset", INDEX_REPO)
        assert accepted_entries(Hub(endpoint)).entries == ()


def test_the_demo_worlds_index_is_built_from_its_cards(tmp_path):
    with HubStore.open(tmp_path / "store") as store, serving(store) as endpoint:
        seed(store, ASSETS)
        hub = Hub(endpoint)
        at = hub.at_commit(INDEX_REPO, "main", "dataset")
        folder = hub.fetch(INDEX_REPO, at.revision, at.files, "dataset")
        plain = {e.repo: (e.summary, e.ranking) for e in accepted_entries(hub).entries}
        build_index(folder / "cards", tmp_path / INDEX_FILE)
        put(store, **{INDEX_FILE: tmp_path / INDEX_FILE})
        assert {e.repo: (e.summary, e.ranking) for e in accepted_entries(hub).entries} == plain
        assert all(ranking for _, ranking in plain.values())
