"""Merged pipelines obey the exactness rule against diffusers' fuse_lora in float64."""

from __future__ import annotations

import pytest
import torch

from ggez_hub.digests import sha256_file
from ggez_hub.merging import Adapter, merge

from .loras import FAMILY, load, regional_by_diffusers, weights
from .pipelines import picture
from .styles import CASES


@pytest.fixture(scope="session", params=CASES)
def case(request, bases, tmp_path_factory):
    """A base, a LoRA file for it, theta_regional by diffusers, and the components it changes."""
    this = CASES[request.param]
    base = bases[this.pipeline]
    path = this.write(base, tmp_path_factory.mktemp("lora"))
    loader = this.load and (lambda pipeline: this.load(pipeline, path))
    return (this.pipeline, base, path, *regional_by_diffusers(base, path, loader))


def ulp(x, dtype):
    """One unit in the last place of `dtype` at the magnitude of each |x| (float64)."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(x.abs().clamp_min(info.smallest_normal)))
    return torch.exp2(exponent) * info.eps


def bits(tensor):
    return tensor.reshape(-1).view(torch.uint8)


def test_merge_is_within_one_ulp_of_fuse_lora_in_float64(case, tmp_path):
    name, base, adapter, regional, adapted = case
    beta = 0.7
    report = merge(base, [Adapter(adapter, beta)], tmp_path / "out", FAMILY)
    before, after = weights(base), weights(tmp_path / "out")
    assert before.keys() == after.keys()
    changed = set()
    for key, stored in before.items():
        wide = stored.double()
        if key not in regional or torch.equal(regional[key], wide):
            assert torch.equal(bits(after[key]), bits(stored)), key
            continue
        changed.add(key)
        delta = beta * (regional[key] - wide)
        reference = wide + delta
        largest = torch.stack([wide.abs(), delta.abs(), reference.abs()]).max(0).values
        error = (after[key].double() - reference).abs()
        assert (error <= ulp(largest, stored.dtype)).all(), key
    assert len(changed) == report.touched > 4
    assert {key.partition("/")[0] for key in changed} == adapted
    for path in FAMILY.layout(base).weights:
        same = sha256_file(base / path) == sha256_file(tmp_path / "out" / path)
        assert same == (path.partition("/")[0] not in adapted), path
    files = {p.relative_to(base) for p in base.rglob("*") if p.name != "README.md"}
    assert files == {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*")}
    # It loads, and its pictures are others than the base's.
    assert abs(picture(load(tmp_path / "out"), name) - picture(load(base), name)).max() > 1e-4


def test_beta_zero_is_the_base_bit_for_bit(case, tmp_path):
    _, base, adapter, _, _ = case
    merge(base, [Adapter(adapter, 0.0)], tmp_path / "out", FAMILY)
    for path in FAMILY.layout(base).weights:
        assert sha256_file(base / path) == sha256_file(tmp_path / "out" / path)
