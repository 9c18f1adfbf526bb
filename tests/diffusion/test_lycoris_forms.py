"""LyCORIS's forms with beta folded in: merged at beta 1 they are the original at that beta."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ggez_hub.merging import Adapter, BadAdapter, merge, write_adapter
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.forms.runtimes import answers

from .loras import FAMILY, load, weights
from .styles import lokr_of_diffusers
from .test_lycoris import DTYPES, EVERYTHING, FORMS, factors, module_base

NAME = "lora.safetensors"


def as_kohya(base, adapter, beta, out):
    return write_adapter(base, [Adapter(adapter, beta)], out, FAMILY, "kohya")


def delta_of(adapter, base, name="unet/m.weight"):
    index = WeightIndex(base, FAMILY.layout(base).weights)
    return open_delta(adapter, FAMILY, index).tensor(name)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from((*FORMS[1:], "difference")),
    kernel=st.sampled_from([(3, 3), (4,), (2, 2, 2), ()]),
    alpha=st.one_of(st.none(), st.floats(0.01, 50)),
    beta=st.floats(0.01, 1.5),
    dtype=st.sampled_from(list(DTYPES)),
    seed=st.integers(0, 99),
)
def test_beta_is_in_the_scale(tmp_path_factory, form, kernel, alpha, beta, dtype, seed):
    torch.manual_seed(seed)
    folder = tmp_path_factory.mktemp("any")
    base = module_base(folder / "base", {"m.weight": torch.randn(6, 8, *kernel)})
    shapes = {"diff": (6, 8, *kernel)} if form == "difference" else factors(form, 6, 8, 3, kernel)
    parts = {part: torch.randn(shape).to(DTYPES[dtype]) for part, shape in shapes.items()}
    if alpha is not None and form != "difference":
        parts["alpha"] = torch.tensor(alpha)
    save_file({f"lora_unet_m.{part}": t for part, t in parts.items()}, folder / "a.safetensors")
    as_kohya(base, folder / "a.safetensors", beta, folder / "out")
    expected = beta * delta_of(folder / "a.safetensors", base)
    written = delta_of(folder / "out", base)
    # One rounding, to float32, of the alpha or of what has none.
    torch.testing.assert_close(written, expected, rtol=2**-23, atol=0)
    state = load_file(folder / "out" / NAME)
    for part, tensor in parts.items():
        copied = part not in {"alpha", "diff"} and not (part == "lokr_w1" and "whole" in form)
        assert (state[f"lora_unet_m.{part}"].dtype == tensor.dtype) is (
            copied or tensor.dtype == torch.float32
        )
        assert not copied or torch.equal(state[f"lora_unet_m.{part}"], tensor)


def test_a_file_of_several_forms(bases, tmp_path):
    """A LoRA, a LoHa, and differences of a norm and a bias, in one file as LyCORIS writes them."""
    base = bases["sd15"]
    before = weights(base)
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    torch.manual_seed(3)
    state = {}
    for path, form in ((f"{block}.attn1.to_q", "LoCon"), (f"{block}.ff.net.2", "LoHa")):
        out, into = before[f"unet/{path}.weight"].shape
        for part, shape in factors(form, out, into, 4, ()).items():
            state[f"lora_unet_{path.replace('.', '_')}.{part}"] = torch.randn(shape) * 0.3
        state[f"lora_unet_{path.replace('.', '_')}.alpha"] = torch.tensor(2.0)
    norm = f"lora_unet_{block.replace('.', '_')}_norm1"
    size = before[f"unet/{block}.norm1.weight"].shape
    state |= {f"{norm}.w_norm": torch.randn(size), f"{norm}.b_norm": torch.randn(size)}
    save_file(state, tmp_path / "a.safetensors")
    facts = as_kohya(base, tmp_path / "a.safetensors", 0.5, tmp_path / "out")
    merge(base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "merged", FAMILY)
    merge(base, [Adapter(tmp_path / "out", 1.0)], tmp_path / "again", FAMILY)
    # Half is a power of two: nothing was rounded.
    after, again = weights(tmp_path / "merged"), weights(tmp_path / "again")
    assert all(torch.equal(again[name], tensor) for name, tensor in after.items())
    assert facts.method == "LoHa and difference"
    said = {name: answer.status for name, answer in answers(facts).items()}
    assert (said["diffusers"], said["diffusers hot-swap"], said["ComfyUI"]) == ("no", "no", "yes")


@pytest.mark.parametrize(
    ("kind", "config"),
    [
        ("LoHa", peft.LoHaConfig(r=4, alpha=3, target_modules=EVERYTHING)),
        (
            "LoHa",
            peft.LoHaConfig(
                r=4, alpha=8, target_modules=EVERYTHING, use_effective_conv2d=True,
                rank_pattern={"to_q": 2}, alpha_pattern={"conv1": 1},
            ),
        ),
        ("LoKr", peft.LoKrConfig(r=2, alpha=3, target_modules=EVERYTHING, decompose_both=True)),
        # PEFT scales two whole factors, LyCORIS does not: the scale goes into the first one.
        ("LoKr", peft.LoKrConfig(r=64, alpha=5, target_modules=EVERYTHING)),
    ],
)  # fmt: skip
def test_a_peft_folder_in_kohyas_names(kind, config, bases, tmp_path):
    base = bases["sd15"]
    torch.manual_seed(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(load(base).unet, config)
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * 0.3)
        wrapped.save_pretrained(tmp_path / "peft")
    facts = as_kohya(base, tmp_path / "peft", 0.7, tmp_path / "out")
    assert facts.method == kind
    index = WeightIndex(base, FAMILY.layout(base).weights)
    one, other = (open_delta(tmp_path / name, FAMILY, index) for name in ("peft", "out"))
    assert one.touched == other.touched
    for name in one.touched:
        torch.testing.assert_close(other.tensor(name), 0.7 * one.tensor(name), rtol=2**-22, atol=0)


def test_a_lokr_of_diffusers_in_kohyas_names(bases, tmp_path):
    base = bases["sd15"]
    path = lokr_of_diffusers(base, tmp_path)
    as_kohya(base, path, 0.7, tmp_path / "out")
    assert all(key.startswith("lora_unet_") for key in load_file(tmp_path / "out" / NAME))
    index = WeightIndex(base, FAMILY.layout(base).weights)
    one, other = (open_delta(found, FAMILY, index) for found in (path, tmp_path / "out"))
    assert one.touched == other.touched
    for name in one.touched:
        torch.testing.assert_close(other.tensor(name), 0.7 * one.tensor(name), rtol=2**-22, atol=0)


def test_what_does_not_scale_or_has_no_place(bases, tmp_path):
    base = module_base(tmp_path / "base", {"m.weight": torch.randn(6, 8)})
    parts = {part: torch.ones(shape) for part, shape in factors("LoHa", 6, 8, 3, ()).items()}
    parts["dora_scale"] = torch.ones(6, 1)
    save_file({f"lora_unet_m.{part}": t for part, t in parts.items()}, tmp_path / "a.safetensors")
    with pytest.raises(BadAdapter, match="dora_scale") as problem:
        as_kohya(base, tmp_path / "a.safetensors", 0.5, tmp_path / "out")
    assert "merged form" in problem.value.hint
    for form in ("peft", "diffusers"):
        with pytest.raises(BadAdapter, match="not a plain LoRA") as problem:
            write_adapter(
                base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY, form
            )
        assert "merged form" in problem.value.hint
    assert not list(tmp_path.glob("*out*"))
