"""LyCORIS's forms in kohya's names: equal to PEFT's own merge where PEFT has them, else to the papers."""

from __future__ import annotations

import json
import math
import re
import warnings

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex

from ..merging.exactness import assert_exact
from . import products
from .loras import FAMILY, load, weights
from .styles import SGM

PARTS = re.compile(r"^base_model\.model\.(.+?)\.((?:lora|hada|lokr)_.+)$")
TO_KOHYA = {
    "lora_A.weight": "lora_down.weight",
    "lora_B.weight": "lora_up.weight",
    "lora_magnitude_vector": "dora_scale",
}
EVERYTHING = r".*(to_q|to_out\.0|conv1|conv_in|proj_in|ff\.net\.2|time_emb_proj)"
SGM_NAMES = {path: f"lora_unet_{name}" for name, path in SGM.items()}
CLIP = r"(text_model\.)?encoder\.layers\.\d\.(self_attn\.[qv]_proj|mlp\.fc1)"


def flat(prefix):
    return lambda path: f"{prefix}_{path.replace('.', '_')}"


def lora(**options):
    return peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "target_modules": EVERYTHING, **options})


def lycoris_shape(magnitude, dimensions):
    """(out, 1...) as LyCORIS keeps what PEFT has as (out,) or (1, out, 1, 1)."""
    return magnitude.reshape(-1, *(1 for _ in range(dimensions - 1)))


# pipeline, component, config, name of a module, whether magnitudes are shaped as LyCORIS does
BY_PEFT = {
    "LoHa": (
        "sd15", "unet", peft.LoHaConfig(r=4, alpha=2, target_modules=EVERYTHING),
        flat("lora_unet"), True,
    ),
    "LoHa with cores": (
        "sd15", "unet",
        peft.LoHaConfig(r=4, alpha=8, target_modules=EVERYTHING, use_effective_conv2d=True),
        flat("lora_unet"), True,
    ),
    "LoKr on the UNet of SGM": (
        "sdxl", "unet",
        peft.LoKrConfig(r=2, alpha=4, target_modules=list(SGM.values()), decompose_both=True),
        SGM_NAMES.get, True,
    ),
    "LoKr with cores": (
        "sdxl", "unet",
        peft.LoKrConfig(
            r=2, alpha=8, target_modules=list(SGM.values()), use_effective_conv2d=True,
            decompose_factor=4,
        ),
        SGM_NAMES.get, True,
    ),
    "LoKr on a text encoder": (
        "sdxl", "text_encoder_2", peft.LoKrConfig(r=2, alpha=4, target_modules=CLIP),
        flat("lora_te2"), True,
    ),
    "LoKr of LyCORIS alone": (
        "flux", "transformer", peft.LoKrConfig(r=2, alpha=1, target_modules=["to_q", "proj_out"]),
        flat("lycoris"), True,
    ),
    "LoKr by paths": (
        "flux", "transformer", peft.LoKrConfig(r=2, alpha=1, target_modules=["to_q", "proj_mlp"]),
        lambda path: f"diffusion_model.{path}", True,
    ),
    "DoRA, LyCORIS's shapes": (
        "sd15", "unet", lora(use_dora=True), flat("lora_unet"), True,
    ),
    "DoRA, PEFT's shapes": ("sd15", "unet", lora(use_dora=True), flat("lora_unet"), False),
    "DoRA on a text encoder": (
        "sd15", "text_encoder", lora(target_modules=CLIP, use_dora=True), flat("lora_te"), True,
    ),
    "DoRA on the UNet of SGM": (
        "sdxl", "unet", lora(target_modules=list(SGM.values()), use_dora=True), SGM_NAMES.get, True,
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", BY_PEFT)
def test_within_one_ulp_of_peft_in_float64(form, bases, tmp_path):
    name, component, config, rename, as_lycoris = BY_PEFT[form]
    torch.manual_seed(6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(getattr(load(bases[name]), component), config)
        for parameter in wrapped.parameters():
            if parameter.requires_grad:
                parameter.data.add_(torch.randn_like(parameter) * 0.3)
        wrapped.save_pretrained(tmp_path / "peft")
        fresh = getattr(load(bases[name]), component).double()
        loaded = peft.PeftModel.from_pretrained(
            fresh, tmp_path / "peft", autocast_adapter_dtype=False
        )
    alpha = float(getattr(config, "alpha", None) or config.lora_alpha)
    regional = loaded.double().merge_and_unload().state_dict()
    before, state, modules = weights(bases[name]), {}, set()
    for key, tensor in load_file(tmp_path / "peft" / "adapter_model.safetensors").items():
        path, part = PARTS.match(key).groups()
        shape = before[f"{component}/{path}.weight"].shape
        if part == "lora_magnitude_vector" and as_lycoris:
            shaped = lycoris_shape(tensor, len(shape))
        else:
            shaped = tensor.contiguous()
        modules.add(path)
        state[f"{rename(path)}.{TO_KOHYA.get(part, part)}"] = shaped
        state[f"{rename(path)}.alpha"] = torch.tensor(alpha)
    if isinstance(config, peft.LoKrConfig):
        # PEFT scales the product of two whole factors too; LyCORIS trains it without a scale.
        scale_whole_factors(state, modules, rename, alpha / config.r)
    save_file(state, tmp_path / "kohya.safetensors")
    report = merge(
        bases[name], [Adapter(tmp_path / "kohya.safetensors", 0.6)], tmp_path / "out", FAMILY
    )
    wide = {
        key: regional[key.removeprefix(f"{component}/")]
        if key.startswith(f"{component}/")
        else tensor.double()
        for key, tensor in before.items()
    }
    changed = assert_exact(before, weights(tmp_path / "out"), wide, 0.6)
    assert changed == {f"{component}/{path}.weight" for path in modules}
    assert report.touched == len(changed) > 2


def scale_whole_factors(state, modules, rename, scale):
    for path in modules:
        if f"{rename(path)}.lokr_w1" in state and f"{rename(path)}.lokr_w2" in state:
            # By a power of two, so that nothing is rounded.
            assert math.frexp(scale)[0] == 0.5
            state[f"{rename(path)}.lokr_w1"] = state[f"{rename(path)}.lokr_w1"] * scale


def module_base(folder, tensors):
    """A pipeline whose UNet has these tensors, and nothing else."""
    (folder / "unet").mkdir(parents=True)
    index = {
        "_class_name": "StableDiffusionPipeline",
        "unet": ["diffusers", "UNet2DConditionModel"],
    }
    (folder / "model_index.json").write_text(json.dumps(index))
    save_file(tensors, folder / "unet" / "diffusion_pytorch_model.safetensors")
    return folder


DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


def factors(form, out, into, rank, kernel):
    """Shapes of the parts of one module; out and into are even."""
    ones = [1] * len(kernel)
    flattened = into * math.prod(kernel)
    return {
        "LoCon": {"lora_up.weight": (out, rank, *ones), "lora_down.weight": (rank, into, *kernel)},
        "LoCon with a core": {
            "lora_up.weight": (out, rank, *ones), "lora_down.weight": (rank, into, *ones),
            "lora_mid.weight": (rank, rank, *kernel),
        },
        "LoHa": {
            "hada_w1_a": (out, rank), "hada_w1_b": (rank, flattened),
            "hada_w2_a": (out, rank), "hada_w2_b": (rank, flattened),
        },
        "LoHa with cores": {
            "hada_w1_a": (rank, out), "hada_w1_b": (rank, into), "hada_t1": (rank, rank, *kernel),
            "hada_w2_a": (rank, out), "hada_w2_b": (rank, into), "hada_t2": (rank, rank, *kernel),
        },
        "LoKr": {
            "lokr_w1": (2, 2), "lokr_w2_a": (out // 2, rank), "lokr_w2_b": (rank, flattened // 2),
        },
        "LoKr of two whole factors": {"lokr_w1": (2, 2), "lokr_w2": (out // 2, into // 2, *kernel)},
        "LoKr of two products": {
            "lokr_w1_a": (2, rank), "lokr_w1_b": (rank, 2),
            "lokr_w2_a": (out // 2, rank), "lokr_w2_b": (rank, flattened // 2),
        },
        "LoKr with a core": {
            "lokr_w1": (2, 2), "lokr_w2_a": (rank, out // 2), "lokr_w2_b": (rank, into // 2),
            "lokr_t2": (rank, rank, *kernel),
        },
    }[form]  # fmt: skip


FORMS = (
    "LoCon", "LoCon with a core", "LoHa", "LoHa with cores", "LoKr", "LoKr of two whole factors",
    "LoKr of two products", "LoKr with a core",
)  # fmt: skip
PRODUCTS = {"LoC": products.lora, "LoH": products.loha, "LoK": products.lokr}


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    form=st.sampled_from(FORMS),
    out=st.integers(1, 9).map(lambda n: 2 * n),
    into=st.integers(1, 9).map(lambda n: 2 * n),
    rank=st.integers(1, 20),
    kernel=st.sampled_from([(1, 1), (3, 3), (2, 1), (4,), (2, 2, 2), ()]),
    alpha=st.one_of(st.none(), st.floats(0.01, 50)),
    beta=st.floats(0.01, 1.5),
    base_dtype=st.sampled_from(list(DTYPES)),
    dtype=st.sampled_from(list(DTYPES)),
    magnitude=st.sampled_from([None, "outputs", "inputs", "PEFT"]),
    seed=st.integers(0, 99),
)
def test_any_form_shape_rank_and_dtype(
    tmp_path_factory, form, out, into, rank, kernel, alpha, beta, base_dtype, dtype, magnitude, seed
):
    torch.manual_seed(seed)
    folder = tmp_path_factory.mktemp("any")
    weight = torch.randn(out, into, *kernel).to(DTYPES[base_dtype])
    base = module_base(folder / "base", {"a.b_c.weight": weight})
    parts = {
        part: (torch.randn(shape) * 0.5).to(DTYPES[dtype])
        for part, shape in factors(form, out, into, rank, kernel).items()
    }
    scale = 1.0 if alpha is None or form.endswith("whole factors") else alpha
    if alpha is not None:
        # As the file holds it.
        parts["alpha"] = torch.tensor(alpha)
        scale = parts["alpha"].item() / rank if "whole factors" not in form else 1.0
    regional = weight.double() + scale * PRODUCTS[form[:3]](parts).reshape(weight.shape)
    ones = [1] * len(kernel)
    if magnitude == "PEFT" and kernel:
        # One dimension for linear layers says that the file is PEFT's; there is none here.
        magnitude = "outputs"
    if magnitude is not None:
        shape = {"outputs": (out, 1, *ones), "inputs": (1, into, *ones), "PEFT": (out,)}[magnitude]
        parts["dora_scale"] = (torch.rand(shape) + 0.5).to(DTYPES[dtype])
        as_weight = parts["dora_scale"].reshape(out, 1) if magnitude == "PEFT" else None
        regional = products.decomposed(
            regional, parts["dora_scale"] if as_weight is None else as_weight
        )
    save_file(
        {f"lora_unet_a_b_c.{k}": t.contiguous() for k, t in parts.items()},
        folder / "a.safetensors",
    )
    merge(base, [Adapter(folder / "a.safetensors", beta)], folder / "out", FAMILY)
    assert_exact(
        {"unet/a.b_c.weight": weight}, weights(folder / "out"), {"unet/a.b_c.weight": regional},
        beta, must_change=False,
    )  # fmt: skip


def test_differences_of_weights_biases_and_norms(bases, tmp_path):
    base, before = bases["sd15"], weights(bases["sd15"])
    block = "down_blocks.0.attentions.0.transformer_blocks.0"
    changes = {
        "unet/conv_in": ("diff", "diff_b"),
        f"unet/{block}.ff.net.2": ("diff", "diff_b"),
        f"unet/{block}.attn1.to_q": ("diff",),
        f"unet/{block}.norm1": ("w_norm", "b_norm"),
        "unet/conv_norm_out": ("w_norm", "b_norm"),
        "text_encoder/encoder.layers.1.layer_norm1": ("w_norm", "b_norm"),
        "text_encoder/encoder.layers.0.mlp.fc1": ("diff_b",),
    }
    torch.manual_seed(7)
    state, regional = {}, {name: tensor.double() for name, tensor in before.items()}
    changed = set()
    for module, parts in changes.items():
        component, path = module.split("/")
        prefix = "lora_unet" if component == "unet" else "lora_te_text_model"
        for part in parts:
            target = f"{module}.{'bias' if part in {'diff_b', 'b_norm'} else 'weight'}"
            diff = torch.randn(before[target].shape) * 0.3
            state[f"{prefix}_{path.replace('.', '_')}.{part}"] = diff
            regional[target] = regional[target] + diff.double()
            changed.add(target)
    save_file(state, tmp_path / "a.safetensors")
    merge(base, [Adapter(tmp_path / "a.safetensors", 0.4)], tmp_path / "out", FAMILY)
    assert assert_exact(before, weights(tmp_path / "out"), regional, 0.4) == changed


def test_a_lora_whose_bias_is_a_difference(tmp_path):
    """As ComfyUI saves a difference of two models: low rank for the weight, whole for the bias."""
    torch.manual_seed(8)
    tensors = {"m.weight": torch.randn(6, 8), "m.bias": torch.randn(6)}
    base = module_base(tmp_path / "base", tensors)
    parts = {
        "lora_up.weight": torch.randn(6, 2), "lora_down.weight": torch.randn(2, 8),
        "alpha": torch.tensor(1.0), "diff_b": torch.randn(6),
    }  # fmt: skip
    save_file({f"lora_unet_m.{k}": t for k, t in parts.items()}, tmp_path / "a.safetensors")
    merge(base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
    before = weights(base)
    regional = {
        "unet/m.weight": before["unet/m.weight"].double() + 0.5 * products.lora(parts),
        "unet/m.bias": before["unet/m.bias"].double() + parts["diff_b"].double(),
    }
    assert len(assert_exact(before, weights(tmp_path / "out"), regional, 0.5)) == 2


QKV = "lora_unet_double_blocks_0_img_attn_qkv"
ATTENTION = [f"transformer/transformer_blocks.0.attn.to_{x}.weight" for x in "qkv"]


@pytest.mark.parametrize("form", ["LoKr", "LoHa", "DoRA", "difference"])
def test_fused_attention_of_flux(form, bases, tmp_path):
    """What is trained on one fused matrix goes to the three that diffusers keeps."""
    torch.manual_seed(9)
    before = weights(bases["flux"])
    fused = torch.cat([before[name] for name in ATTENTION]).double()
    if form == "DoRA":
        parts = {"lora_up.weight": torch.randn(96, 4), "lora_down.weight": torch.randn(4, 32)}
        parts["dora_scale"] = torch.rand(96, 1) + 0.5
        regional = products.decomposed(fused + products.lora(parts), parts["dora_scale"])
        parts["alpha"] = torch.tensor(4.0)
    elif form == "difference":
        parts = {"diff": torch.randn(96, 32), "diff_b": torch.randn(96)}
        regional = fused + parts["diff"].double()
    else:
        shapes = {
            "LoKr": {"lokr_w1": (3, 4), "lokr_w2_a": (32, 4), "lokr_w2_b": (4, 8)},
            "LoHa": factors("LoHa", 96, 32, 4, ()),
        }[form]
        parts = {part: torch.randn(shape) for part, shape in shapes.items()}
        parts["alpha"] = torch.tensor(2.0)
        regional = fused + 0.5 * PRODUCTS[form[:3]](parts)
    save_file({f"{QKV}.{k}": t for k, t in parts.items()}, tmp_path / "a.safetensors")
    merge(bases["flux"], [Adapter(tmp_path / "a.safetensors", 0.3)], tmp_path / "out", FAMILY)
    expected = {name: tensor.double() for name, tensor in before.items()}
    expected |= dict(zip(ATTENTION, regional.split(32), strict=True))
    changed = set(ATTENTION)
    if form == "difference":
        for name, part in zip(ATTENTION, parts["diff_b"].double().split(32), strict=True):
            bias = name.replace("weight", "bias")
            expected[bias] = expected[bias] + part
            changed.add(bias)
    assert assert_exact(before, weights(tmp_path / "out"), expected, 0.3) == changed


def test_rows_in_another_order(bases, tmp_path):
    """Flux's last modulation has shift and scale the other way round."""
    torch.manual_seed(10)
    name = "transformer/norm_out.linear.weight"
    before = weights(bases["flux"])
    parts = {"lokr_w1": torch.randn(4, 4), "lokr_w2": torch.randn(16, 8)}
    key = "lora_unet_final_layer_adaLN_modulation_1"
    # An alpha beside two whole factors means nothing.
    state = {f"{key}.{k}": t for k, t in parts.items()} | {f"{key}.alpha": torch.tensor(7.0)}
    save_file(state, tmp_path / "a.safetensors")
    base = WeightIndex(bases["flux"], FAMILY.layout(bases["flux"]).weights)
    delta = open_delta(tmp_path / "a.safetensors", FAMILY, base)
    shift, scale = products.lokr(parts).chunk(2)
    assert delta.touched == {name}
    assert torch.equal(delta.tensor(name), torch.cat([scale, shift]))
    assert before[name].shape == delta.tensor(name).shape


BROKEN = {
    "half a LoHa": ({"hada_w1_a": (6, 3), "hada_w1_b": (3, 8)}, BadAdapter, "has only"),
    "LoHa of two ranks": (
        factors("LoHa", 6, 8, 3, ()) | {"hada_w2_a": (6, 4), "hada_w2_b": (4, 8)},
        BadAdapter, "do not multiply",
    ),
    "LoHa that does not multiply": (
        factors("LoHa", 6, 8, 3, ()) | {"hada_w2_a": (6, 4)}, BadAdapter, "do not multiply",
    ),
    "LoHa of two sizes": (
        factors("LoHa", 6, 8, 3, ()) | {"hada_w2_b": (3, 9)}, BadAdapter, "do not multiply",
    ),
    "a LoHa of another model": (factors("LoHa", 6, 10, 3, ()), WrongBase, "(6, 10)"),
    "a LoKr of another model": (
        {"lokr_w1": (2, 2), "lokr_w2": (3, 5)}, WrongBase, "(6, 10)",
    ),
    "LoKr with a core of another rank": (
        factors("LoKr with a core", 6, 8, 3, ()) | {"lokr_t2": (3, 2)}, BadAdapter, "do not multiply",
    ),
    "a core alone": ({"lora_mid.weight": (3, 3)}, BadAdapter, "has only"),
    "a core of another rank": (
        factors("LoCon with a core", 6, 8, 3, ()) | {"lora_mid.weight": (2, 3)},
        BadAdapter, "do not multiply",
    ),
    "LoRA and LoKr": (
        factors("LoCon", 6, 8, 3, ()) | {"lokr_w1": (2, 2)}, BadAdapter, "at once",
    ),
    "a magnitude alone": ({"dora_scale": (6, 1), "diff_b": (6,)}, BadAdapter, "has only"),
    "magnitudes of another size": (
        factors("LoCon", 6, 8, 3, ()) | {"dora_scale": (5, 1)}, BadAdapter, "6 outputs",
    ),
    "a bias that is not there": ({"diff_b": (6,)}, WrongBase, "bias"),
    "a difference of another shape": ({"diff": (6, 9)}, WrongBase, "(6, 9)"),
    "a difference with an alpha": ({"diff": (6, 8), "alpha": ()}, BadAdapter, "has only"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_broken_forms(how, tmp_path):
    shapes, error, named = BROKEN[how]
    base = module_base(tmp_path / "base", {"m.weight": torch.randn(6, 8)})
    state = {f"lora_unet_m.{part}": torch.ones(shape) for part, shape in shapes.items()}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(error) as caught:
        merge(base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
    assert named in caught.value.message
    assert not list(tmp_path.glob("*out*"))


def test_magnitudes_of_the_inputs_of_fused_attention(bases, tmp_path):
    parts = {"lora_up.weight": torch.ones(96, 4), "lora_down.weight": torch.ones(4, 32)}
    parts["dora_scale"] = torch.ones(1, 32)
    save_file({f"{QKV}.{k}": t for k, t in parts.items()}, tmp_path / "a.safetensors")
    with pytest.raises(BadAdapter, match="keeps apart"):
        merge(bases["flux"], [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
