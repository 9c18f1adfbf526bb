"""What a measurement knows of an adapter that lies on a hub: its card comes with its weights."""

from __future__ import annotations

from pathlib import Path

from ggez_hub.cli.measuring import adapter_place, trained_on
from ggez_hub.world.seed import BASE_REPO


def test_the_data_of_an_adapter_on_a_hub_is_known(seeded, tmp_path):
    place = adapter_place(f"{BASE_REPO}-th", tmp_path, seeded)
    assert "npm:cldr-annotations-full" in trained_on(place)
    assert (place / "adapter_model.safetensors").is_file()


def test_a_folder_without_a_card_says_nothing(tmp_path):
    assert trained_on(Path(tmp_path)) == "unknown"
