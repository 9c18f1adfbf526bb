"""GLoRA and IA3 as LyCORIS itself makes and merges them, in float64."""

from __future__ import annotations

import pytest
import torch
from lycoris.modules.glora import GLoRAModule
from lycoris.modules.ia3 import IA3Module
from safetensors.torch import save_file

from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge, write_adapter
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.forms.runtimes import answers

from ..merging.exactness import assert_exact
from .loras import FAMILY, load, weights
from .test_lycoris import ATTENTION, QKV, module_base
from .test_names_of_a_file import flat

pytestmark = pytest.mark.slow

FORMS = {
    "GLoRA": lambda name, module: GLoRAModule(name, module, lora_dim=3, alpha=2),
    "IA3 of outputs": IA3Module,
    "IA3 of inputs": lambda name, module: IA3Module(name, module, train_on_input=True),
}
LAYERS = (torch.nn.Linear, torch.nn.Conv2d)


def made_by_lycoris(form, model, path):
    """A file of LyCORIS's modules on all layers of a model; and each one's Delta, by layer."""
    torch.manual_seed(4)
    state, deltas = {}, {}
    for name, layer in model.named_modules():
        if isinstance(layer, LAYERS):
            module = FORMS[form](flat(name), layer)
            for parameter in module.parameters():
                parameter.data.normal_(0, 0.3)
            state |= {f"{flat(name)}.{k}": v.contiguous() for k, v in module.state_dict().items()}
            deltas[name] = module.double().get_diff_weight()[0]
    save_file(
        {key: t.half() if "on_input" in key else t.float() for key, t in state.items()},
        path,
    )
    return deltas


@pytest.mark.parametrize("form", FORMS)
def test_within_one_ulp_of_lycoris(form, bases, tmp_path):
    unet = load(bases["sd15"]).unet
    for parameter in unet.parameters():
        parameter.requires_grad_(False)
    path = tmp_path / "a.safetensors"
    deltas = made_by_lycoris(form, unet.double(), path)
    merge(bases["sd15"], [Adapter(path, 0.6)], tmp_path / "out", FAMILY)
    before = weights(bases["sd15"])
    regional = {key: tensor.double() for key, tensor in before.items()}
    for name, delta in deltas.items():
        regional[f"unet/{name}.weight"] += delta.detach()
    changed = assert_exact(before, weights(tmp_path / "out"), regional, 0.6)
    assert changed == {f"unet/{name}.weight" for name in deltas}


@pytest.mark.parametrize("form", ["GLoRA", "IA3 of outputs"])
def test_fused_attention_takes_its_own_rows(form, bases, tmp_path):
    before = weights(bases["flux"])
    fused = torch.nn.Linear(32, 96, bias=False)
    fused.weight.data = torch.cat([before[name] for name in ATTENTION]).float()
    fused.double().requires_grad_(False)
    module = FORMS[form](QKV, fused)
    for parameter in module.parameters():
        parameter.data.normal_(0, 0.3)
    state = {f"{QKV}.{k}": v.contiguous() for k, v in module.state_dict().items()}
    save_file(state, tmp_path / "a.safetensors")
    merge(bases["flux"], [Adapter(tmp_path / "a.safetensors", 0.3)], tmp_path / "out", FAMILY)
    expected = {name: tensor.double() for name, tensor in before.items()}
    delta = module.double().get_diff_weight()[0].detach()
    for name, part in zip(ATTENTION, delta.split(32), strict=True):
        expected[name] += part
    assert assert_exact(before, weights(tmp_path / "out"), expected, 0.3) == set(ATTENTION)


@pytest.mark.parametrize("form", FORMS)
def test_kohya_files_with_beta_folded_in(form, tmp_path):
    model = torch.nn.ModuleDict({"m": torch.nn.Linear(8, 6, bias=False)}).requires_grad_(False)
    base = module_base(tmp_path / "base", {"m.weight": model["m"].weight.data.clone()})
    path = tmp_path / "a.safetensors"
    (delta,) = made_by_lycoris(form, model.double(), path).values()
    facts = write_adapter(base, [Adapter(path, 0.7)], tmp_path / "out", FAMILY, "kohya")
    assert answers(facts)["ComfyUI"].status == ("yes" if form == "GLoRA" else "no")
    assert answers(facts)["diffusers"].status == "no"
    index = WeightIndex(base, FAMILY.layout(base).weights)
    written = open_delta(tmp_path / "out", FAMILY, index).tensor("unet/m.weight")
    torch.testing.assert_close(written, 0.7 * delta.detach().double(), rtol=2**-22, atol=1e-7)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"a2.weight": None}, "has only"),
        ({"a1.weight": torch.ones(5, 3)}, "do not multiply"),
        ({"dora_scale": torch.ones(6, 1)}, "has only"),
        ({"alpha": None, "ia3": True, "on_input": torch.tensor(7)}, "neither 0 nor 1"),
        ({"ia3": True, "on_input": torch.tensor(0), "alpha": torch.tensor(1.0)}, "has only"),
    ],
)
def test_broken_files(change, named, tmp_path):
    base = module_base(tmp_path / "base", {"m.weight": torch.ones(6, 8)})
    parts = {
        "a1.weight": torch.ones(8, 3), "a2.weight": torch.ones(3, 8),
        "b1.weight": torch.ones(6, 3), "b2.weight": torch.ones(3, 8), "alpha": torch.tensor(1.0),
    }  # fmt: skip
    if change.pop("ia3", None):
        parts = {"weight": torch.ones(6)}
    parts |= change
    state = {f"lora_unet_m.{key}": tensor for key, tensor in parts.items() if tensor is not None}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(BadAdapter, match=named):
        merge(base, [Adapter(tmp_path / "a.safetensors", 1.0)], tmp_path / "out", FAMILY)


def test_a_vector_of_another_length(tmp_path):
    base = module_base(tmp_path / "base", {"m.weight": torch.ones(6, 8)})
    state = {"lora_unet_m.weight": torch.ones(8), "lora_unet_m.on_input": torch.tensor(0)}
    save_file(state, tmp_path / "a.safetensors")
    with pytest.raises(WrongBase, match=r"\(8, 8\)"):
        merge(base, [Adapter(tmp_path / "a.safetensors", 1.0)], tmp_path / "out", FAMILY)
