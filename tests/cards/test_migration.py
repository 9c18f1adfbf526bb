"""Cards of other schema versions: older ones are brought forward, newer ones refused."""

from __future__ import annotations

import pytest

from ggez_hub.cards import BadCard, parse_card, render_card
from ggez_hub.cards import document as migration

from .blocks import block, text


@pytest.fixture(autouse=True)
def nothing_remembered():
    """A card that an invented version made valid is not valid in the next test."""
    yield
    migration._remembered.cache_clear()


def from_nought(old):
    """An invented version 0, where the region was called country and the status was a word."""
    new = {key: value for key, value in old.items() if key != "country"}
    return new | {"region": old["country"].lower(), "status": {"state": old["status"]}}


def nought():
    old = block() | {"schema_version": 0, "country": "TH", "status": "active"}
    del old["region"]
    return old


def test_an_older_card_is_brought_forward(monkeypatch):
    monkeypatch.setitem(migration.MIGRATIONS, 0, from_nought)
    document = parse_card(text(nought()))
    assert document == parse_card(text(block()))
    assert "schema_version: 2" in render_card(document)


def test_steps_are_taken_one_after_the_other(monkeypatch):
    monkeypatch.setitem(migration.MIGRATIONS, 0, from_nought)
    monkeypatch.setitem(migration.MIGRATIONS, -1, lambda old: old | {"country": old["land"]})
    older = nought() | {"schema_version": -1, "land": "TH"}
    del older["country"]
    with pytest.raises(BadCard, match=r"ggez\.land: is not a known key"):
        parse_card(text(older))


def test_an_old_card_that_breaks_its_own_version(monkeypatch):
    monkeypatch.setitem(migration.MIGRATIONS, 0, from_nought)
    old = nought()
    del old["country"]
    with pytest.raises(BadCard, match=r"line \d+: ggez.schema_version: is 0, which the block does"):
        parse_card(text(old))


def test_a_version_without_a_way_here():
    with pytest.raises(BadCard, match=r"ggez\.schema_version"):
        parse_card(text(nought()))


def test_a_newer_card_asks_for_an_update():
    newer = block() | {"schema_version": 7, "something_new": True}
    with pytest.raises(
        BadCard, match=r"line \d+: ggez.schema_version: is 7, .*update ggez-hub"
    ) as bad:
        parse_card(text(newer))
    assert "something_new" not in bad.value.message


def test_a_card_of_version_1_takes_its_errors_as_independent():
    """Version 1 had neither a policy nor what the errors of a curve share."""
    document = parse_card(text(block() | {"schema_version": 1}))
    assert (document.card.policy, document.card.parity) == ("parity", "independent")
    assert document == parse_card(text(block()))
