"""Weights obey the exactness rule: at most one unit in the last place, or no merge."""

from __future__ import annotations

import hashlib

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.safetensors_header import read_header

from ..models import open_clip_model, write_lora

WEIGHTS = "open_clip_model.safetensors"
EMBEDDING = get_family("embedding")


def ulp(x: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """One unit in the last place of `dtype` at the magnitude of each |x| (float64)."""
    info = torch.finfo(dtype)
    exponent = torch.floor(torch.log2(x.abs().clamp_min(info.smallest_normal)))
    return torch.exp2(exponent) * info.eps


def peft_regional(base: dict[str, torch.Tensor], adapter) -> dict[str, torch.Tensor]:
    """theta_regional by PEFT's own merge on a float64 copy of the model."""
    model = open_clip_model().double()
    model.load_state_dict({k: v.double() for k, v in base.items() if k != "text.position_ids"})
    merged = peft.PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
    return merged.double().merge_and_unload().state_dict()


@pytest.mark.parametrize("beta", [0.25, 0.4, 1.0, 1.25])
def test_merge_is_within_one_ulp_of_peft_in_float64(open_clip_base, lora, tmp_path, beta):
    report = merge(open_clip_base, [Adapter(lora, beta)], tmp_path / "out", EMBEDDING)
    base = load_file(open_clip_base / WEIGHTS)
    out = load_file(tmp_path / "out" / WEIGHTS)
    regional = peft_regional(base, lora)
    changed = 0
    for name, tensor in base.items():
        if not tensor.is_floating_point() or torch.equal(regional[name], tensor.double()):
            assert same_bits(out[name], tensor), name
            continue
        changed += 1
        delta = regional[name] - tensor.double()
        reference = tensor.double() + beta * delta
        scale = torch.stack([tensor.double().abs(), (beta * delta).abs(), reference.abs()])
        error = (out[name].double() - reference).abs()
        assert (error <= ulp(scale.max(0).values, tensor.dtype)).all(), name
        assert not torch.equal(out[name], tensor)
    assert changed == report.touched == 10


def same_bits(a: torch.Tensor, b: torch.Tensor) -> bool:
    a, b = a.reshape(-1), b.reshape(-1)
    return a.dtype == b.dtype and torch.equal(a.view(torch.uint8), b.view(torch.uint8))


def test_beta_zero_is_the_base_bit_for_bit(open_clip_base, lora, tmp_path):
    merge(open_clip_base, [Adapter(lora, 0.0)], tmp_path / "out", EMBEDDING)
    assert (tmp_path / "out" / WEIGHTS).read_bytes() == (open_clip_base / WEIGHTS).read_bytes()


def test_two_adapters_add_up(open_clip_base, lora, tmp_path):
    other = write_lora(tmp_path / "other", targets=["c_fc"], seed=2)
    adapters = [Adapter(lora, 0.5), Adapter(other, 0.25)]
    merge(open_clip_base, adapters, tmp_path / "out", EMBEDDING)
    base = load_file(open_clip_base / WEIGHTS)
    out = load_file(tmp_path / "out" / WEIGHTS)
    first, second = peft_regional(base, lora), peft_regional(base, other)
    name = "transformer.resblocks.0.mlp.c_fc.weight"
    w = base[name].double()
    reference = w + 0.5 * (first[name] - w) + 0.25 * (second[name] - w)
    assert (out[name].double() - reference).abs().max() <= ulp(
        torch.maximum(w.abs(), reference.abs()), base[name].dtype
    ).max()


def test_rank_stabilised_lora(open_clip_base, tmp_path):
    adapter = write_lora(tmp_path / "rs", targets=["c_fc"], use_rslora=True)
    merge(open_clip_base, [Adapter(adapter, 1.0)], tmp_path / "out", EMBEDDING)
    base = load_file(open_clip_base / WEIGHTS)
    name = "transformer.resblocks.1.mlp.c_fc.weight"
    reference = peft_regional(base, adapter)[name]
    error = (load_file(tmp_path / "out" / WEIGHTS)[name].double() - reference).abs()
    assert (
        error <= ulp(torch.maximum(reference.abs(), base[name].double().abs()), base[name].dtype)
    ).all()


def test_same_bytes_with_one_and_two_threads(open_clip_base, lora, tmp_path):
    digests = set()
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = tmp_path / str(threads)
            merge(open_clip_base, [Adapter(lora, 0.4)], out, EMBEDDING)
            digests.add(hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest())
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


def test_output_mirrors_the_base(open_clip_base, lora, tmp_path):
    merge(open_clip_base, [Adapter(lora, 0.4)], tmp_path / "out", EMBEDDING)
    before, after = read_header(open_clip_base / WEIGHTS), read_header(tmp_path / "out" / WEIGHTS)
    assert after.tensors == before.tensors
    assert after.metadata == before.metadata
    names = {p.name for p in (tmp_path / "out").iterdir()}
    assert names == {WEIGHTS, "open_clip_config.json", "tokenizer_config.json"}


def test_a_result_beyond_the_dtype_is_refused(open_clip_base, tmp_path):
    adapter = write_lora(tmp_path / "huge", targets=["c_fc"])
    state = load_file(adapter / "adapter_model.safetensors")
    key = next(iter(state))
    state[key][0, 0] = float("inf")
    save_file(state, adapter / "adapter_model.safetensors")
    with pytest.raises(Exception, match="not finite"):
        merge(open_clip_base, [Adapter(adapter, 1.0)], tmp_path / "out", EMBEDDING)
    assert not list(tmp_path.glob("*out*"))
