"""The Python API does what the command line does."""

from __future__ import annotations

import ggez_hub


def test_pull_and_pull_again_from_the_lock(seeded, tmp_path):
    first = ggez_hub.pull("th", tmp_path / "first", hub=seeded.endpoint)
    second = ggez_hub.pull(
        "th", tmp_path / "second", hub=seeded.endpoint, lock=first.folder / "ggez.lock"
    )
    assert first.lock == second.lock
    assert (first.model / "open_clip_model.safetensors").is_file()


def test_resolve_with_choices(seeded):
    resolution = ggez_hub.resolve("th", hub=seeded.endpoint, beta=0.3)
    assert resolution.adapters[0].beta.value == 0.3


def test_alpha_and_grp():
    factor = ggez_hub.alpha("th")
    assert round(ggez_hub.grp(50.0, 60.0, factor.value), 2) == round(60 - 10 * factor.value, 2)
