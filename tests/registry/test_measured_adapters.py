"""What a measurement knows of an adapter that lies on a hub: its card comes with its weights."""

from __future__ import annotations

from ggez_hub.cards import read_card
from ggez_hub.cli.models import find_adapter, trained_on
from ggez_hub.demo.hub import ASSETS, BASE_REPO
from ggez_hub.evaluation.results.evidence import data_of


def test_the_card_of_an_adapter_on_a_hub_comes_with_it(seeded, tmp_path):
    found = find_adapter(f"{BASE_REPO}-th", tmp_path, seeded)
    assert found.repo == f"{BASE_REPO}-th"
    place = found.path
    assert (place / "adapter_model.safetensors").is_file()
    assert read_card(place / "README.md").card.region == "th"


def test_the_data_is_that_of_the_card(tmp_path):
    folder = ASSETS / "embedding" / "th"
    assert "npm:cldr-annotations-full" in trained_on(folder)
    assert trained_on(folder) == data_of(read_card(folder / "README.md").card)
    assert trained_on(tmp_path) == "unknown"
