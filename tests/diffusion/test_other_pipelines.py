"""Pipelines without a module of ours: complete by diffusers' own converters, or refused by name."""

from __future__ import annotations

import json
import warnings

import diffusers
import peft
import pytest
import torch
from diffusers import QwenImageTransformer2DModel, WanTransformer3DModel
from safetensors.torch import load_file, save_file

from ggez_hub.merging import Adapter, merge, write_adapter

from ..merging.exactness import assert_exact, write_peft
from .loras import FAMILY

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


def wan():
    torch.manual_seed(0)
    return WanTransformer3DModel(
        num_attention_heads=2, attention_head_dim=12, in_channels=4, out_channels=4, text_dim=16,
        freq_dim=16, ffn_dim=32, num_layers=2,
    )  # fmt: skip


def qwen():
    torch.manual_seed(0)
    return QwenImageTransformer2DModel(
        patch_size=2, in_channels=16, out_channels=4, num_layers=2, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=16, axes_dims_rope=(8, 4, 4),
    )  # fmt: skip


MAKERS = {"WanPipeline": wan, "QwenImagePipeline": qwen}


@pytest.fixture(scope="module")
def others(tmp_path_factory):
    """Pipelines of a transformer alone, in float16."""
    folders = {}
    for name, make in MAKERS.items():
        folders[name] = folder = tmp_path_factory.mktemp(name)
        model = make().half()
        model.save_pretrained(folder / "transformer")
        index = {"_class_name": name, "transformer": ["diffusers", type(model).__name__]}
        (folder / "model_index.json").write_text(json.dumps(index))
    return folders


def loaded(folder, name):
    model = MAKERS[name]()
    model.load_state_dict({k: t.float() for k, t in load_file(folder / WEIGHTS).items()})
    return model


def by_diffusers(folder, name, state):
    """theta_regional by diffusers' own loader and fuse_lora, on a float64 copy."""
    model, pipeline = loaded(folder, name), getattr(diffusers, name)
    converted = pipeline.lora_state_dict(dict(state))
    pipeline.load_lora_into_transformer(converted, transformer=model, adapter_name="a")
    model.double().fuse_lora()
    state = {k.replace(".base_layer", ""): t for k, t in model.state_dict().items()}
    return {key: state[key] for key in load_file(folder / WEIGHTS)}


WAN = {
    "blocks.0.self_attn.q": "blocks.0.attn1.to_q",
    "blocks.0.cross_attn.o": "blocks.0.attn2.to_out.0",
    "blocks.1.ffn.2": "blocks.1.ffn.net.2",
}
QWEN = {
    path: path for path in ("transformer_blocks.0.attn.to_q", "transformer_blocks.1.img_mlp.net.2")
}
STYLES = {
    "Wan's own names, lora_A": ("WanPipeline", WAN, "diffusion_model.{}", False),
    "Wan's own names, lora_down": ("WanPipeline", WAN, "diffusion_model.{}", True),
    "diffusers' names": (
        "WanPipeline", {path: path for path in WAN.values()}, "transformer.{}", False,
    ),
    "Qwen by paths": ("QwenImagePipeline", QWEN, "diffusion_model.{}", False),
    "Qwen by paths, lora_down": ("QwenImagePipeline", QWEN, "{}", True),
    "Qwen, kohya": ("QwenImagePipeline", QWEN, "lora_unet_{}", True),
}  # fmt: skip


def lora(folder, names, spelled, kohya, rank=4):
    torch.manual_seed(1)
    tensors, state = load_file(folder / WEIGHTS), {}
    for path, target in names.items():
        out, into = tensors[f"{target}.weight"].shape
        name = spelled.format(path.replace(".", "_") if spelled.startswith("lora_") else path)
        down, up = ("lora_down", "lora_up") if kohya else ("lora_A", "lora_B")
        state[f"{name}.{down}.weight"] = torch.randn(rank, into) * 0.3
        state[f"{name}.{up}.weight"] = torch.randn(out, rank) * 0.3
        if kohya:
            state[f"{name}.alpha"] = torch.tensor(2.0)
    return state


@pytest.mark.parametrize("style", STYLES)
def test_lora_files(style, others, tmp_path):
    name, names, spelled, kohya = STYLES[style]
    state = lora(others[name], names, spelled, kohya)
    save_file(state, tmp_path / "a.safetensors")
    merge(others[name], [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
    before, after = load_file(others[name] / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    changed = assert_exact(before, after, by_diffusers(others[name], name, state), 0.5)
    assert changed == {f"{target}.weight" for target in names.values()}


@pytest.mark.parametrize("form", [None, "peft", "diffusers"])
def test_the_name_of_an_adapter_in_the_keys(form, others, tmp_path):
    """As DiffSynth saves Qwen-Image files, and diffusers reads them."""
    name, base, path = "QwenImagePipeline", others["QwenImagePipeline"], tmp_path / "a.safetensors"
    state = lora(base, QWEN, "{}", kohya=False)
    save_file({k.replace(".weight", ".default.weight"): t for k, t in state.items()}, path)
    regional = by_diffusers(base, name, load_file(path))
    adapter = Adapter(path, 0.5)
    if form:
        write_adapter(base, [adapter], tmp_path / "form", FAMILY, form)
        adapter = Adapter(tmp_path / "form", 1.0)
    merge(base, [adapter], tmp_path / "out", FAMILY)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    changed = assert_exact(before, after, regional, 0.5)
    assert changed == {f"{target}.weight" for target in QWEN.values()}


@pytest.mark.parametrize(
    "options",
    [
        {"target_modules": ["to_q", "patch_embedding"]},
        {"target_modules": "all-linear", "use_dora": True},
    ],
)
def test_peft_folders(options, others, tmp_path):
    """A convolution over three axes among them."""
    base = others["WanPipeline"]
    config = peft.LoraConfig(r=4, lora_alpha=6, **options)
    adapter = write_peft(tmp_path / "adapter", config, model=loaded(base, "WanPipeline"))
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", FAMILY)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = peft.PeftModel.from_pretrained(
            loaded(base, "WanPipeline").double(), adapter, autocast_adapter_dtype=False
        )
    assert assert_exact(before, after, model.double().merge_and_unload().state_dict(), 0.5)


@pytest.mark.parametrize("form", ["peft", "diffusers"])
def test_the_prefix_of_another_repository_is_not_a_path_of_diffusers(form, bases, tmp_path):
    path, target = "transformer_blocks.0.attn.to_q", "transformer_blocks.0.attn.to_q.weight"
    names = {
        f"diffusion_model.{path}.lora_{x}.weight": shape
        for x, shape in (("A", (4, 32)), ("B", (32, 4)))
    }
    save_file({key: torch.ones(shape) for key, shape in names.items()}, tmp_path / "a.safetensors")
    adapter = Adapter(tmp_path / "a.safetensors", 0.5)
    merge(bases["flux"], [adapter], tmp_path / "merged", FAMILY)
    write_adapter(bases["flux"], [adapter], tmp_path / "form", FAMILY, form)
    merge(bases["flux"], [Adapter(tmp_path / "form", 1.0)], tmp_path / "out", FAMILY)
    merged, out = (load_file(tmp_path / f / WEIGHTS) for f in ("merged", "out"))
    assert torch.equal(merged[target], out[target])
    assert not torch.equal(merged[target], load_file(bases["flux"] / WEIGHTS)[target])
