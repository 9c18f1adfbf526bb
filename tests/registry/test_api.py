"""The Python API does what the command line does."""

from __future__ import annotations

import math

import pytest

import ggez_hub
from ggez_hub.errors import UsageProblem
from ggez_hub.registry.request import Request


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


@pytest.mark.parametrize(
    "asked",
    [
        {"beta": math.nan},
        {"beta": math.inf},
        {"beta": -1},
        {"beta": (0.5, math.nan)},
        {"alpha": math.nan},
        {"alpha": 1.5},
    ],
)
def test_weights_that_are_none(asked):
    with pytest.raises(UsageProblem, match="should be a number from 0"):
        Request("th", **asked)
