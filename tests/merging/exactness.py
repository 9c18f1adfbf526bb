"""The exactness rule as assertions, and PEFT on float64 copies as its reference."""

from __future__ import annotations

import warnings

import peft
import torch
from safetensors.torch import load_file

from ..models import open_clip_model

WEIGHTS = "open_clip_model.safetensors"


def ulp(x, dtype):
    """One unit in the last place of `dtype` at the magnitude of each |x| (float64)."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(x.abs().clamp_min(info.smallest_normal)))
    return torch.exp2(exponent) * info.eps


def same_bits(a, b):
    a, b = a.contiguous().reshape(-1), b.contiguous().reshape(-1)
    return a.dtype == b.dtype and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def write_peft(folder, config, *, model=None, seed=1, size=0.2):
    """An adapter made by PEFT itself, everything that it trains moved by noise."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model or open_clip_model(), config)
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * size)
        wrapped.save_pretrained(folder)
    return folder


def peft_regional(base, adapter, model=None):
    """theta_regional by PEFT's own merge on a float64 copy of the model."""
    model = (model or open_clip_model()).double()
    own = model.state_dict()
    model.load_state_dict({k: v.double() for k, v in base.items() if k in own}, strict=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = peft.PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
        return loaded.double().merge_and_unload().state_dict()


def assert_exact(base, out, regional, beta, *, must_change=True):
    """Every tensor within one unit in the last place; returns the names of those that changed.

    With `must_change` each tensor that the region changes has to differ from the base's.
    """
    changed = set()
    assert base.keys() == out.keys()
    for name, tensor in base.items():
        if not tensor.is_floating_point() or torch.equal(regional[name], tensor.double()):
            assert same_bits(out[name], tensor), name
            continue
        changed.add(name)
        delta = regional[name] - tensor.double()
        reference = tensor.double() + beta * delta
        scale = torch.stack([tensor.double().abs(), (beta * delta).abs(), reference.abs()])
        error = (out[name].double() - reference).abs()
        assert (error <= ulp(scale.max(0).values, tensor.dtype)).all(), name
        assert not (must_change and torch.equal(out[name], tensor)), name
    return changed


def load_pair(base, out, weights=WEIGHTS):
    return load_file(base / weights), load_file(out / weights)
