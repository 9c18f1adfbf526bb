"""The training of the content experiment, as far as it can be run without the packages it is built from."""

from importlib import import_module
from itertools import islice

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn

from demo_world.concepts import Concept
from experiments.content.batches import mixed, shuffled
from experiments.content.lora import merged, scale
from experiments.content.subsets import CONTROL, REGIONAL, sides_of


def test_batches_show_every_row_before_any_comes_twice():
    found = list(islice(shuffled(range(10, 22), 4, np.random.default_rng(0)), 6))
    assert (
        sorted(np.concatenate(found[:3])) == sorted(np.concatenate(found[3:])) == [*range(10, 22)]
    )


def test_mixed_batches_are_half_of_each():
    for batch in islice(mixed(range(8), range(100, 130), 6, np.random.default_rng(0)), 10):
        assert len(set(batch.tolist())) == 6
        assert (batch < 8).sum() == 3


def test_the_sets_do_not_depend_on_the_order():
    concepts = [Concept(f"{n:x}", "Objects", {"en": f"name {n}"}) for n in range(1000)]
    sides = sides_of(concepts)
    assert [sides.count(side) for side in ("regional", "control")] == [REGIONAL, CONTROL]
    assert sides_of(concepts[::-1]) == sides[::-1]


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.Flatten(), nn.Linear(64, 5))
    wrapped = get_peft_model(
        model, LoraConfig(r=2, lora_alpha=4, target_modules=["0", "2"], init_lora_weights=False)
    )
    return wrapped.eval().requires_grad_(False)


def test_merged_and_scaled_are_the_same_model(model):
    pictures = torch.randn(2, 3, 4, 4)
    before = {name: weight.clone() for name, weight in model.named_parameters()}
    scale(model, 0)
    base = model(pictures)
    with model.disable_adapter():
        torch.testing.assert_close(base, model(pictures))
    scale(model, 0.7)
    scaled = model(pictures)
    assert (scaled - base).abs().max() > 0.01
    with merged(model, 0.7):
        torch.testing.assert_close(model(pictures), scaled)
    for name, weight in model.named_parameters():
        torch.testing.assert_close(weight, before[name])


@pytest.mark.parametrize("family", ["embedding", "diffusion"])
def test_a_family_can_be_run(family):
    trained = import_module(f"experiments.content.{family}")
    recipe = trained.Recipe()
    assert recipe.lora.steps > recipe.lora.warmup
    assert trained.BETAS[0] == 0
    assert list(trained.BETAS) == sorted(trained.BETAS)
    assert 1 in trained.BETAS
    assert callable(trained.answer)
    assert callable(trained.gallery)
