"""Initialisations of a LoRA: those that leave the base alone, and those that take a part of it."""

from __future__ import annotations

import json
import warnings

import numpy as np
import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, merge

from ..models import open_clip_model
from .exactness import WEIGHTS, assert_exact, load_pair, peft_regional, write_peft
from .test_forms import as_peft

EMBEDDING = get_family("embedding")
MLP = r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)"
R, ALPHA = 4, 6


def lora(**options):
    return peft.LoraConfig(**{"r": R, "lora_alpha": ALPHA, "target_modules": MLP, **options})


def write(folder, base, config):
    """An adapter trained on the stored base, as PEFT needs it: in float32."""
    return write_peft(folder, config, model=on(base, torch.float32))


def on(base, dtype):
    model = open_clip_model()
    own = model.state_dict()
    stored = load_file(base / WEIGHTS)
    model.load_state_dict({k: v.float() for k, v in stored.items() if k in own}, strict=False)
    return model.to(dtype)


def taken(start, weight, scale):
    """What the initialisation took out of a weight, in float64, by numpy."""
    if start == "pissa":
        u, s, vh = np.linalg.svd(weight, full_matrices=False)
        return (u[:, :R] * s[:R]) @ vh[:R]
    q, r = np.linalg.qr(weight)
    return scale * (q[:, :R] @ r[:R])


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32"])
@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_what_was_taken_away_is_taken_away(start, dtype, bases, tmp_path):
    adapter = write(tmp_path / "adapter", bases[dtype], lora(init_lora_weights=start))
    merge(bases[dtype], [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)
    base, out = load_pair(bases[dtype], tmp_path / "out")
    stored = load_file(adapter / "adapter_model.safetensors")
    regional = {name: tensor.double() for name, tensor in base.items()}
    for key in stored:
        if key.endswith("lora_A.weight"):
            name = key.removeprefix("base_model.model.").replace("lora_A.weight", "weight")
            b, a = stored[key.replace("lora_A", "lora_B")].double(), stored[key].double()
            scale = ALPHA / R
            moved = taken(start, base[name].double().numpy(), scale)
            regional[name] = base[name].double() + scale * b @ a - torch.from_numpy(moved)
    assert len(assert_exact(base, out, regional, 0.7)) == 8


@pytest.mark.parametrize("options", [{}, {"use_dora": True}, {"use_rslora": True}])
@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_equals_what_peft_loads(start, options, bases, tmp_path):
    """PEFT itself computes it in float32 only: equal as far as that goes."""
    base = bases["F32"]
    config = lora(init_lora_weights=start, **options)
    adapter = write(tmp_path / "adapter", base, config)
    merge(base, [Adapter(adapter, 1.0)], tmp_path / "out", EMBEDDING)
    stored, out = load_pair(base, tmp_path / "out")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = peft.PeftModel.from_pretrained(on(base, torch.float32), adapter)
        expected = loaded.merge_and_unload().state_dict()
    for name, tensor in expected.items():
        torch.testing.assert_close(out[name], tensor, rtol=0, atol=2e-5)
    assert sum(not torch.equal(stored[name], out[name]) for name in stored) == 8


@pytest.mark.parametrize("start", ["gaussian", "orthogonal", "mica", False])
def test_those_that_leave_the_base_alone(start, bases, tmp_path):
    base = bases["BF16"]
    adapter = write(tmp_path / "adapter", base, lora(init_lora_weights=start))
    merge(base, [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)
    state, out = load_pair(base, tmp_path / "out")
    # PEFT makes MiCA's matrices in float32 only, and then replaces them with the stored ones.
    change(adapter, init_lora_weights=True)
    assert assert_exact(state, out, peft_regional(state, adapter), 0.7)


def change(adapter, **options):
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | options))


@pytest.mark.parametrize("start", ["pissa_niter_4", "corda", "loftq", "lora_ga"])
def test_those_that_the_base_does_not_determine(start, base, tmp_path):
    adapter = write_peft(tmp_path / "adapter", lora())
    change(adapter, init_lora_weights=start)
    with pytest.raises(BadAdapter, match=start) as problem:
        merge(base, [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)
    assert "path_initial_model_for_weight_conversion" in problem.value.hint


def test_pissa_niter_is_another_adapter_at_each_load(bases, tmp_path):
    """Why it is refused: PEFT itself gives two models."""
    config = lora(init_lora_weights="pissa_niter_0")
    adapter = write(tmp_path / "adapter", bases["F32"], config)
    models = []
    for seed in (0, 1):
        model = on(bases["F32"], torch.float32)
        torch.manual_seed(seed)
        loaded = peft.PeftModel.from_pretrained(model, adapter)
        models.append(loaded.merge_and_unload().state_dict())
    name = "transformer.resblocks.0.mlp.c_fc.weight"
    assert (models[0][name] - models[1][name]).abs().max() > 1e-3


def test_converted_by_peft_it_is_a_plain_lora(bases, tmp_path):
    base = bases["BF16"]
    model = peft.get_peft_model(on(base, torch.float32), lora(init_lora_weights="pissa_niter_4"))
    model.peft_config["default"].init_lora_weights = True
    model.save_pretrained(tmp_path / "initial")
    for parameter in model.parameters():
        if parameter.requires_grad:
            parameter.data.add_(0.1)
    model.peft_config["default"].init_lora_weights = "pissa_niter_4"
    model.save_pretrained(
        tmp_path / "adapter", path_initial_model_for_weight_conversion=str(tmp_path / "initial")
    )
    merge(base, [Adapter(tmp_path / "adapter", 0.7)], tmp_path / "out", EMBEDDING)
    state, out = load_pair(base, tmp_path / "out")
    assert assert_exact(state, out, peft_regional(state, tmp_path / "adapter"), 0.7)


def test_peft_begins_so_on_matrices_alone(base, tmp_path):
    adapter = write_peft(tmp_path / "adapter", lora(target_modules=["visual.conv1"]))
    change(adapter, init_lora_weights="pissa")
    with pytest.raises(BadAdapter, match="has no such part"):
        merge(base, [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)


def test_equal_singular_values_do_not_say_which_were_taken(tmp_path, bases):
    adapter = write(tmp_path / "adapter", bases["F32"], lora(init_lora_weights="pissa"))
    base = tmp_path / "base"
    base.mkdir()
    for path in bases["F32"].iterdir():
        (base / path.name).write_bytes(path.read_bytes())
    state = load_file(base / WEIGHTS)
    state["transformer.resblocks.0.mlp.c_fc.weight"] = torch.eye(192, 48)
    save_file(state, base / WEIGHTS)
    with pytest.raises(BadAdapter, match="singular values 4 and 5"):
        merge(base, [Adapter(adapter, 0.7)], tmp_path / "out", EMBEDDING)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("start", ["pissa", "olora"])
def test_no_form_with_beta_folded_in(start, bases, tmp_path):
    adapter = write(tmp_path / "adapter", bases["F32"], lora(init_lora_weights=start))
    with pytest.raises(BadAdapter, match="moves a part of the base"):
        as_peft(adapter, 0.7, tmp_path / "out", bases["F32"])
