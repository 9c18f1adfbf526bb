"""The cards in cards/: each is good, stands where it belongs, and makes an index."""

from __future__ import annotations

from pathlib import Path

import pytest

from ggez_hub.cards import alpha_record, read_card, render_card
from ggez_hub.cards.expected import expected_models
from ggez_hub.regions import alpha
from ggez_hub.registry.index.build import build_index
from ggez_hub.registry.index.file import read_index

CARDS = Path(__file__).parents[2] / "cards"
PATHS = sorted(CARDS.glob("*/*/*.md"))


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_a_card_is_good_and_claims_nothing_that_nobody_has_seen(path):
    document = read_card(path)
    card = document.card
    assert render_card(document) == path.read_text(encoding="utf-8")
    assert path.stem == card.adapter.repo.partition("/")[2].lower()
    assert card.alpha == alpha_record(alpha(card.region))
    assert document.license != "unknown"
    if not card.pinned:
        assert (card.level, card.curve) == ("declared", "unknown")
        assert card.adapter.revision == card.base.revision == "main"


def test_expected_values_are_those_of_the_recipes_and_pin_nothing():
    seen = 0
    for path in PATHS:
        card = read_card(path).card
        known = expected_models().get(card.base.repo)
        assert card.base.expected == known
        seen += known is not None
        if known is not None:
            assert card.base.weights == "unknown"
    assert seen >= 3


def test_the_cards_make_an_index(tmp_path):
    built = build_index(CARDS, tmp_path / "index.sqlite")
    assert built.cards == len(PATHS) > 0
    rows = read_index(tmp_path / "index.sqlite", ["southeast-asia"])[0]
    assert "aisingapore/Qwen-SEA-LION-v4-4B-VL" in {row.repo for row, _ in rows}
    assert {row.base_weights for row, _ in rows if row.revision == "main"} == {"unknown"}
