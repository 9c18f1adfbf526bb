"""A full fine-tune of a pipeline: another pipeline of the same architecture."""

from __future__ import annotations

import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.merging import Adapter, merge

from .loras import FAMILY, weights
from .pipelines import DENOISER
from .test_exactness import bits, ulp


@pytest.mark.parametrize("name", DENOISER)
def test_only_the_denoiser_was_trained(bases, tmp_path, name):
    base, tuned = bases[name], tmp_path / "tuned"
    shutil.copytree(base, tuned)
    path = tuned / DENOISER[name] / "diffusion_pytorch_model.safetensors"
    torch.manual_seed(5)
    state = {
        # In float32, as trainers save it.
        key: tensor.float() + 0.1 * torch.randn_like(tensor.float())
        for key, tensor in load_file(path).items()
    }
    save_file(state, path)
    merge(base, [Adapter(tuned, 0.4)], tmp_path / "out", FAMILY)
    after, regional = weights(tmp_path / "out"), weights(tuned)
    for key, stored in weights(base).items():
        if not key.startswith(DENOISER[name]):
            assert torch.equal(bits(after[key]), bits(stored)), key
            continue
        wide = stored.double()
        delta = 0.4 * (regional[key].double() - wide)
        reference = wide + delta
        largest = torch.stack([wide.abs(), delta.abs(), reference.abs()]).max(0).values
        assert ((after[key].double() - reference).abs() <= ulp(largest, stored.dtype)).all(), key
