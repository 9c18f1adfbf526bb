"""alpha / rank is each module's own, whatever a loader makes of it."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file

from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex

from .loras import FAMILY, modules, write_named
from .styles import ATTENTION, kohya_clip

PREFIX = {"unet": "lora_unet", "text_encoder": "lora_te"}


def opened(base, adapter):
    return open_delta(adapter, FAMILY, WeightIndex(base, FAMILY.layout(base).weights))


def close(a, b):
    return (a - b).abs().max() <= 1e-12 * b.abs().max()


@pytest.mark.parametrize("component", PREFIX)
def test_alphas_that_differ(bases, tmp_path, component):
    base = bases["sd15"]
    if component == "unet":
        found = modules(base, "unet", ATTENTION).items()
        names = {f"lora_unet_{path.replace('.', '_')}": name for path, name in found}
    else:
        names = kohya_clip(base, "text_encoder", "lora_te")
    path = write_named(base, tmp_path / "a.safetensors", names, alpha=lambda n: 1 + n % 3)
    delta, state = opened(base, path), load_file(path)
    assert delta.touched == set(names.values())
    for number, (module, name) in enumerate(names.items()):
        up, down = (state[f"{module}.lora_{part}.weight"].double() for part in ("up", "down"))
        assert close(delta.tensor(name), (1 + number % 3) / 4 * up @ down), name


def test_without_alpha_the_scale_is_one(bases, tmp_path):
    base = bases["sd15"]
    names = kohya_clip(base, "text_encoder", "lora_te")
    path = write_named(base, tmp_path / "a.safetensors", names)
    module, name = next(iter(names.items()))
    state = load_file(path)
    up, down = (state[f"{module}.lora_{part}.weight"].double() for part in ("up", "down"))
    assert close(opened(base, path).tensor(name), up @ down)


def test_the_same_module_of_half_the_alpha_adds_half(bases, tmp_path):
    base = bases["sdxl"]
    names = {"lora_unet_input_blocks_0_0": "unet/conv_in.weight"}
    one, half = (
        write_named(base, tmp_path / f"{alpha}.safetensors", names, alpha=lambda _, a=alpha: a)
        for alpha in (4, 2)
    )
    deltas = [opened(base, path).tensor("unet/conv_in.weight") for path in (one, half)]
    assert torch.equal(deltas[0], 2 * deltas[1])
