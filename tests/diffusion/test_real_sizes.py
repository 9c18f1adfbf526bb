"""Every module of the real architectures is found by kohya's name: files with headers, no bytes."""

from __future__ import annotations

import json
import math
import struct

import torch
from diffusers import FluxTransformer2DModel, UNet2DConditionModel

from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex

from .loras import FAMILY

SDXL = {
    "sample_size": 128,
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "cross_attention_dim": 2048,
    "attention_head_dim": (5, 10, 20),
    "use_linear_projection": True,
    "transformer_layers_per_block": (1, 2, 10),
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
LAYERS = (torch.nn.Linear, torch.nn.Conv2d)


def write_header(path, shapes):
    """A safetensors file of these shapes that takes no room on the disk."""
    header, end = {}, 0
    for name, shape in shapes.items():
        start, end = end, end + 2 * math.prod(shape)
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [start, end]}
    raw = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(raw)) + raw)
        file.truncate(8 + len(raw) + end)


def write_model(folder, pipeline, component, model, config):
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    write_header(folder / component / "diffusion_pytorch_model.safetensors", shapes)
    (folder / component / "config.json").write_text(json.dumps(config))
    index = {"_class_name": pipeline, component: ["diffusers", type(model).__name__]}
    (folder / "model_index.json").write_text(json.dumps(index))
    return {name for name, module in model.named_modules() if isinstance(module, LAYERS)}


def touched(folder, adapter, modules, rank=8):
    """What a LoRA changes whose modules have the shapes `modules`: out, in, *kernel."""
    shapes = {}
    for name, (out, into, *kernel) in modules.items():
        shapes[f"lora_unet_{name}.lora_down.weight"] = (rank, into, *kernel)
        shapes[f"lora_unet_{name}.lora_up.weight"] = (out, rank, *(1 for _ in kernel))
    write_header(adapter, shapes)
    base = WeightIndex(folder, FAMILY.layout(folder).weights)
    return open_delta(adapter, FAMILY, base).touched


def sgm_names():
    """From the paths of diffusers' SDXL UNet to those of Stability's, longest first.

    sd-scripts, library/sdxl_model_util.py, make_unet_conversion_map.
    """
    pairs = [("mid_block.attentions.0.", "middle_block.1.")]
    blocks = [
        ("mid_block.resnets.0.", "middle_block.0."),
        ("mid_block.resnets.1.", "middle_block.2."),
    ]
    for i in range(3):
        for j in range(2):
            blocks.append((f"down_blocks.{i}.resnets.{j}.", f"input_blocks.{3 * i + j + 1}.0."))
            pairs.append((f"down_blocks.{i}.attentions.{j}.", f"input_blocks.{3 * i + j + 1}.1."))
        for j in range(3):
            blocks.append((f"up_blocks.{i}.resnets.{j}.", f"output_blocks.{3 * i + j}.0."))
            pairs.append((f"up_blocks.{i}.attentions.{j}.", f"output_blocks.{3 * i + j}.1."))
        pairs.append((f"down_blocks.{i}.downsamplers.0.conv.", f"input_blocks.{3 * i + 3}.0.op."))
        pairs.append((f"up_blocks.{i}.upsamplers.0.", f"output_blocks.{3 * i + 2}.2."))
    layers = {
        "conv1.": "in_layers.2.",
        "conv2.": "out_layers.3.",
        "time_emb_proj.": "emb_layers.1.",
        "conv_shortcut.": "skip_connection.",
    }
    pairs += [(hf + a, sgm + b) for hf, sgm in blocks for a, b in layers.items()]
    pairs += [
        ("time_embedding.linear_1.", "time_embed.0."),
        ("time_embedding.linear_2.", "time_embed.2."),
        ("add_embedding.linear_1.", "label_emb.0.0."),
        ("add_embedding.linear_2.", "label_emb.0.2."),
        ("conv_in.", "input_blocks.0.0."),
        ("conv_out.", "out.2."),
    ]
    return pairs


def test_sdxl_by_the_names_of_its_single_file(tmp_path):
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SDXL)
    layers = write_model(tmp_path, "StableDiffusionXLPipeline", "unet", unet, SDXL)
    state, modules = unet.state_dict(), {}
    for layer in layers:
        (name,) = (
            f"{b}{f'{layer}.'[len(a) :]}" for a, b in sgm_names() if f"{layer}.".startswith(a)
        )
        modules[name.rstrip(".").replace(".", "_")] = state[f"{layer}.weight"].shape
    assert len(modules) == 794
    found = touched(tmp_path, tmp_path / "lora.safetensors", modules)
    assert found == {f"unet/{layer}.weight" for layer in layers}


def test_flux(tmp_path):
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(guidance_embeds=True)
    layers = write_model(tmp_path, "FluxPipeline", "transformer", transformer, {})
    width, modules = 3072, {}
    for i in range(19):
        for s in ("img", "txt"):
            block = f"double_blocks_{i}_{s}"
            modules[f"{block}_attn_qkv"] = (3 * width, width)
            modules[f"{block}_attn_proj"] = (width, width)
            modules[f"{block}_mlp_0"] = (4 * width, width)
            modules[f"{block}_mlp_2"] = (width, 4 * width)
            modules[f"{block}_mod_lin"] = (6 * width, width)
    for i in range(38):
        modules[f"single_blocks_{i}_linear1"] = (7 * width, width)
        modules[f"single_blocks_{i}_linear2"] = (width, 5 * width)
        modules[f"single_blocks_{i}_modulation_lin"] = (3 * width, width)
    for name, size in (("time_in", 256), ("vector_in", 768), ("guidance_in", 256)):
        modules[f"{name}_in_layer"] = (width, size)
        modules[f"{name}_out_layer"] = (width, width)
    modules |= {"img_in": (width, 64), "txt_in": (width, 4096)}
    modules |= {"final_layer_linear": (64, width)}
    modules |= {"final_layer_adaLN_modulation_1": (2 * width, width)}
    found = touched(tmp_path, tmp_path / "lora.safetensors", modules)
    assert found == {f"transformer/{layer}.weight" for layer in layers}
    assert (len(modules), len(found)) == (314, 504)
