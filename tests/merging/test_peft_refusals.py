"""PEFT adapters that are broken, or that PEFT would load other than they look, are refused."""

from __future__ import annotations

import json

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge

from .exactness import write_peft

EMBEDDING = get_family("embedding")
FC = "base_model.model.transformer.resblocks.0.mlp.c_fc"
A, B = f"{FC}.lora_A.weight", f"{FC}.lora_B.weight"


def lora(**options):
    return peft.LoraConfig(**{"r": 4, "target_modules": ["c_fc"], **options})


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """Adapters to break, written once: their config and their tensors."""
    kinds = {
        "lora": lora(),
        "dora": lora(use_dora=True),
        "bias": lora(lora_bias=True),
        "saved": lora(modules_to_save=["ln_final"]),
        "tokens": lora(trainable_token_indices={"token_embedding": [3, 4]}),
        "loha": peft.LoHaConfig(r=4, target_modules=["c_fc"]),
        "lokr": peft.LoKrConfig(r=2, target_modules=["c_fc"]),
    }
    folder = tmp_path_factory.mktemp("written")
    read = {}
    for kind, config in kinds.items():
        write_peft(folder / kind, config)
        text = (folder / kind / "adapter_config.json").read_text()
        read[kind] = (text, load_file(folder / kind / "adapter_model.safetensors"))
    return read


def fill(key, value):
    return lambda s: s.update({key: torch.full_like(s[key], value)})


def drop(part):
    return lambda s: s.pop(next(key for key in s if part in key))


def put(key, *shape):
    return put_all({key: shape})


def put_all(shapes):
    return lambda s: s.update({key: torch.ones(*shape) for key, shape in shapes.items()})


BROKEN = {
    "NaN": ("lora", {}, fill(A, float("nan")), BadAdapter, f"{A}.*not finite"),
    "Inf": ("lora", {}, fill(B, float("inf")), BadAdapter, f"{B}.*not finite"),
    "integers": ("lora", {}, lambda s: s.update({A: s[A].int()}), BadAdapter, f"{A}.*I32"),
    "bytes": ("lora", {}, lambda s: s.update({B: s[B].byte()}), BadAdapter, f"{B}.*U8"),
    "another method": ("lora", {}, put(f"{FC}.hada_w1_a", 2, 2), BadAdapter, "belongs to LOHA"),
    "another style": ("lora", {}, put("unet.x.lora.down.weight", 2, 2), BadAdapter, "lora.down"),
    "a style inside": ("lora", {}, put(f"{FC}.lora.up.weight", 2, 2), WrongBase, "c_fc.lora.up"),
    "a shadowed weight": ("lora", {}, put(f"{FC}.weight", 192, 48), BadAdapter, "not a key"),
    "a base layer": (
        "lora", {}, put("base_model.model.ln_final.base_layer.bias", 48), BadAdapter, "not a key",
    ),
    "a huge alpha": ("lora", {"lora_alpha": "many"}, None, BadAdapter, "not a number"),
    "a broken pattern": ("lora", {"rank_pattern": {"(": 3}}, None, BadAdapter, "no patterns"),
    "a list of patterns": ("lora", {"alpha_pattern": ["c_fc"]}, None, BadAdapter, "no patterns"),
    "a method that is a list": ("lora", {"peft_type": ["LORA"]}, None, BadAdapter, "peft_type"),
    "a module to save": ("lora", {"modules_to_save": "ln_final"}, None, BadAdapter, "no modules"),
    "no magnitude": ("dora", {}, drop("magnitude"), BadAdapter, "use_dora"),
    "magnitude unasked": ("dora", {"use_dora": False}, None, BadAdapter, "use_dora"),
    "a short magnitude": ("dora", {}, put(f"{FC}.lora_magnitude_vector", 5), BadAdapter, "192 out"),
    "no bias": ("bias", {}, drop("lora_B.bias"), BadAdapter, "lora_bias"),
    "bias unasked": ("bias", {"lora_bias": False}, None, BadAdapter, "lora_bias"),
    "biases not saved": ("lora", {"bias": "lora_only"}, None, BadAdapter, "bias = 'lora_only'"),
    "a module not saved": (
        "saved", {"modules_to_save": ["ln_final", "ln_post"]}, None, BadAdapter, "'ln_post'",
    ),
    "half a module": ("saved", {}, drop("ln_final.bias"), BadAdapter, "ln_final.bias"),
    "a saved NaN": (
        "saved", {}, fill("base_model.model.ln_final.weight", float("nan")), BadAdapter, "not fin",
    ),
    "another norm": ("saved", {}, put("base_model.model.ln_final.weight", 9), WrongBase, r"\(9,\)"),
    "no tokens": ("tokens", {"trainable_token_indices": None}, None, BadAdapter, "no tokens"),
    "a token twice": (
        "tokens", {"trainable_token_indices": {"token_embedding": [3, 3]}}, None, BadAdapter, "twice",
    ),
    "a token too many": (
        "tokens", {"trainable_token_indices": {"token_embedding": [3, 4, 5]}}, None, BadAdapter, "3 t",
    ),
    "an unknown token": (
        "tokens", {"trainable_token_indices": {"token_embedding": [3, 64]}}, None, WrongBase, "tokens",
    ),
    "half a LoHa": ("loha", {}, drop("hada_w2_b"), BadAdapter, "has only"),
    "another LoHa rank": ("loha", {"r": 5}, None, BadAdapter, "do not multiply"),
    "two sides of a LoHa": ("loha", {}, put(f"{FC}.hada_w1_a", 9, 4), BadAdapter, "do not multiply"),
    "a LoHa of another base": (
        "loha", {}, put_all({f"{FC}.hada_w{n}_a": (9, 4) for n in (1, 2)}), WrongBase, r"\(9, 48\)",
    ),
    "half a LoKr": ("lokr", {}, drop("lokr_w1"), BadAdapter, "has only"),
    "a LoKr of another base": ("lokr", {}, put(f"{FC}.lokr_w1", 7, 6), WrongBase, "c_fc"),
    "LoKr in a LoRA": ("lokr", {"peft_type": "LORA", "lora_alpha": 4}, None, BadAdapter, "alpha"),
}  # fmt: skip


@pytest.mark.parametrize("how", BROKEN)
def test_broken_adapters(how, written, base, tmp_path):
    kind, changes, change, error, named = BROKEN[how]
    text, tensors = written[kind]
    folder = tmp_path / "adapter"
    folder.mkdir()
    (folder / "adapter_config.json").write_text(json.dumps(json.loads(text) | changes))
    state = dict(tensors)
    if change:
        change(state)
    save_file(state, folder / "adapter_model.safetensors")
    with pytest.raises(error, match=named):
        merge(base, [Adapter(folder, 0.5)], tmp_path / "out", EMBEDDING)
    assert not list(tmp_path.glob("*out*"))


def test_a_lora_on_a_grouped_convolution(base, tmp_path):
    """PEFT trains one (A over all channels) but cannot merge it."""
    adapter = write_peft(tmp_path / "adapter", lora(target_modules=["visual.conv1"]))
    path = adapter / "adapter_model.safetensors"
    state = load_file(path)
    key = next(key for key in state if "lora_A" in key)
    state[key] = torch.ones(4, 6, 16, 16)
    save_file(state, path)
    with pytest.raises(WrongBase) as caught:
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
    assert "grouped" in caught.value.hint
