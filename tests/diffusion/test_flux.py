"""Flux files whose modules are fused or ordered in another way than the transformer's."""

from __future__ import annotations

import json
import struct

import pytest
import torch
from diffusers.loaders.lora_conversion_utils import swap_scale_shift
from safetensors.torch import save_file

from ggez_hub.merging import BadAdapter
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex

from .loras import FAMILY, regional_by_diffusers, weights
from .test_scales import close, opened

BLOCK = "transformer/transformer_blocks.0.attn"
SINGLE = "single_transformer_blocks.0"


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))) * 0.3


@pytest.mark.parametrize("sparse", [False, True])
@pytest.mark.parametrize(
    ("fused", "parts"),
    [
        ("img_attn_qkv", ["to_q", "to_k", "to_v"]),
        ("txt_attn_qkv", [f"add_{x}_proj" for x in "qkv"]),
    ],
)
def test_fused_attention_of_kohya(bases, tmp_path, fused, parts, sparse):
    up, name = random(96, 6), f"lora_unet_double_blocks_0_{fused}"
    if sparse:
        # Three LoRA of rank 2 in one: kohya's split_qkv.
        up = torch.block_diag(*(random(32, 2) + i for i in range(3)))
    state = {f"{name}.lora_down.weight": random(6, 32), f"{name}.lora_up.weight": up}
    path = tmp_path / "a.safetensors"
    save_file({**state, f"{name}.alpha": torch.tensor(3.0)}, path)
    delta = opened(bases["flux"], path)
    assert delta.touched == {f"{BLOCK}.{part}.weight" for part in parts}
    product = 0.5 * up.double() @ state[f"{name}.lora_down.weight"].double()
    for part, expected in zip(parts, product.split(32), strict=True):
        assert close(delta.tensor(f"{BLOCK}.{part}.weight"), expected), part
    regional, _ = regional_by_diffusers(bases["flux"], path)
    stored = weights(bases["flux"])
    for target in delta.touched:
        # diffusers rounds alpha / rank into float32 matrices; 0.5 is exact.
        assert close(delta.tensor(target), regional[target] - stored[target].double())


def test_modules_that_diffusers_leaves_out(bases, tmp_path):
    """diffusers gives them no prefix, then ignores them; their meaning is plain."""
    img, last = "lora_unet_img_in", "lora_unet_final_layer_adaLN_modulation_1"
    state = {
        f"{img}.lora_down.weight": random(4, 16),
        f"{img}.lora_up.weight": random(32, 4),
        f"{img}.alpha": torch.tensor(1.0),
        f"{last}.lora_down.weight": random(5, 32),
        f"{last}.lora_up.weight": random(64, 5),
        f"{last}.alpha": torch.tensor(2.0),
    }
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    delta = opened(bases["flux"], path)
    wide = {key: value.double() for key, value in state.items()}
    img_in = 0.25 * wide[f"{img}.lora_up.weight"] @ wide[f"{img}.lora_down.weight"]
    assert close(delta.tensor("transformer/x_embedder.weight"), img_in)
    product = wide[f"{last}.lora_up.weight"] @ wide[f"{last}.lora_down.weight"]
    expected = 0.4 * swap_scale_shift(product)
    assert close(delta.tensor("transformer/norm_out.linear.weight"), expected)
    assert not torch.equal(expected, 0.4 * product)


@pytest.mark.parametrize(
    ("module", "target"),
    [
        ("double_blocks.0.processor.proj_lora1", f"{BLOCK}.to_out.0.weight"),
        ("single_blocks.0.processor.proj_lora", f"transformer/{SINGLE}.proj_out.weight"),
    ],
)
def test_processors_of_xlabs(bases, tmp_path, module, target):
    out, into = weights(bases["flux"])[target].shape
    down, up = random(4, into), random(out, 4)
    save_file(
        {f"{module}.down.weight": down, f"{module}.up.weight": up}, tmp_path / "a.safetensors"
    )
    delta = opened(bases["flux"], tmp_path / "a.safetensors")
    assert close(delta.tensor(target), up.double() @ down.double())


def test_names_that_diffusers_gives_a_prefix_of_kohya(bases, tmp_path):
    name, target = "lora_transformer_transformer_blocks_0_attn_to_k", f"{BLOCK}.to_k.weight"
    down, up = random(4, 32), random(32, 4)
    state = {f"{name}.lora_down.weight": down, f"{name}.lora_up.weight": up}
    save_file({**state, f"{name}.alpha": torch.tensor(2.0)}, tmp_path / "a.safetensors")
    delta = opened(bases["flux"], tmp_path / "a.safetensors")
    assert close(delta.tensor(target), 0.5 * up.double() @ down.double())


def linear1(path, mlp):
    name, out = "lora_unet_single_blocks_0_linear1", 3 * 3072 + mlp
    state = {
        f"{name}.lora_down.weight": random(5, 3072),
        f"{name}.lora_up.weight": random(out, 5),
        f"{name}.alpha": torch.tensor(2.0),
    }
    save_file(state, path)
    return [state[f"{name}.lora_{part}.weight"].double() for part in ("up", "down")]


def test_fused_input_of_a_single_block(tmp_path):
    """diffusers knows its parts by the sizes of the real Flux: a header of that size, no bytes."""
    sizes = {"attn.to_q": 3072, "attn.to_k": 3072, "attn.to_v": 3072, "proj_mlp": 12288}
    header, end = {}, 0
    for part, rows in sizes.items():
        start, end = end, end + rows * 3072 * 2
        offsets = [start, end]
        entry = {"dtype": "BF16", "shape": [rows, 3072], "data_offsets": offsets}
        header[f"{SINGLE}.{part}.weight"] = entry
    raw = json.dumps(header).encode()
    (tmp_path / "base" / "transformer").mkdir(parents=True)
    with (tmp_path / "base/transformer/diffusion_pytorch_model.safetensors").open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + end)
    index = {
        "_class_name": "FluxPipeline",
        "transformer": ["diffusers", "FluxTransformer2DModel"],
    }
    (tmp_path / "base" / "model_index.json").write_text(json.dumps(index))
    up, down = linear1(tmp_path / "a.safetensors", 12288)
    base = WeightIndex(tmp_path / "base", FAMILY.layout(tmp_path / "base").weights)
    delta = open_delta(tmp_path / "a.safetensors", FAMILY, base)
    first = 0
    for part, rows in sizes.items():
        out = torch.empty(7, 3072, dtype=torch.float64)
        delta.by_rows(f"transformer/{SINGLE}.{part}.weight").write(rows - 7, rows, out)
        assert close(out, 0.4 * up[first + rows - 7 : first + rows] @ down), part
        first += rows
    assert len(delta.touched) == 4


def test_fused_input_of_another_size_is_refused(bases, tmp_path):
    linear1(tmp_path / "a.safetensors", 64)
    with pytest.raises(BadAdapter, match="single_blocks_0_linear1"):
        opened(bases["flux"], tmp_path / "a.safetensors")
