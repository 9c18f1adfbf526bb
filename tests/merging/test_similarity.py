"""cos(Delta_i, Delta_j): over all tensors, and what `merge` says of several adapters."""

from __future__ import annotations

import json

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging.similarity import cosines

from .exactness import WEIGHTS, peft_regional
from .test_finetune import write_finetune

EMBEDDING = get_family("embedding")


@pytest.fixture(scope="module")
def tuned(base, tmp_path_factory):
    return write_finetune(tmp_path_factory.mktemp("tuned") / "tuned", base, torch.float32)


def flat(base, regional):
    names = [name for name, tensor in base.items() if tensor.is_floating_point()]
    return torch.cat([(regional[n].double() - base[n].double()).flatten() for n in names])


def test_cosine_over_all_tensors(base, lora, tuned):
    (found,) = cosines(base, [lora, tuned], EMBEDDING)
    state = load_file(base / WEIGHTS)
    one, other = flat(state, peft_regional(state, lora)), flat(state, load_file(tuned / WEIGHTS))
    expected = torch.dot(one, other) / (one.norm() * other.norm())
    assert found.value == pytest.approx(expected.item(), abs=1e-12)


def test_an_adapter_is_like_itself_and_the_base_like_nothing(base, lora):
    first, second, third = cosines(base, [lora, lora, base], EMBEDDING)
    assert first.value == pytest.approx(1, abs=1e-12)
    assert (second.value, third.value) == (None, None)


@pytest.mark.parametrize("method", ["ggez_linear", "ties"])
def test_merge_prints_it(base, lora, tuned, tmp_path, method):
    arguments = ["merge", "--base", str(base), "--adapter", str(lora), "--adapter", str(tuned)]
    arguments += ["--beta", "0.5", "--method", method, "-o"]
    said = CliRunner().invoke(cli, [*arguments, str(tmp_path / "one")])
    assert said.exit_code == 0, said.output
    answer = CliRunner().invoke(cli, [*arguments, str(tmp_path / "two"), "--json"])
    (pair,) = json.loads(answer.stdout)["cosines"]
    assert pair["adapters"] == [str(lora), str(tuned)]
    assert f"cos(Delta_1, Delta_2) = {pair['cos']:+.4f}" in said.stdout
