"""One LoRA file for every style and architecture, by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoKrConfig, LoraConfig

from .loras import load, modules, write_by_diffusers, write_named

ATTENTION = r".*attn\d?\.to_(q|k|v|out\.0)"
CLIP = r"(text_model\.)?encoder\.layers\.\d\.(self_attn\.\w+_proj|mlp\.fc\d)"

# kohya trains SDXL on Stability's own UNet, whose blocks are numbered in another way.
SGM = {
    "input_blocks_0_0": "conv_in",
    "input_blocks_1_0_in_layers_2": "down_blocks.0.resnets.0.conv1",
    "input_blocks_3_0_op": "down_blocks.0.downsamplers.0.conv",
    "input_blocks_4_0_emb_layers_1": "down_blocks.1.resnets.0.time_emb_proj",
    "input_blocks_4_0_skip_connection": "down_blocks.1.resnets.0.conv_shortcut",
    "input_blocks_4_1_transformer_blocks_1_attn1_to_q": "down_blocks.1.attentions.0.transformer_blocks.1.attn1.to_q",
    "input_blocks_5_1_proj_in": "down_blocks.1.attentions.1.proj_in",
    "middle_block_1_transformer_blocks_0_ff_net_0_proj": "mid_block.attentions.0.transformer_blocks.0.ff.net.0.proj",
    "middle_block_2_out_layers_3": "mid_block.resnets.1.conv2",
    "output_blocks_2_1_transformer_blocks_0_attn2_to_out_0": "up_blocks.0.attentions.2.transformer_blocks.0.attn2.to_out.0",
    "output_blocks_2_2_conv": "up_blocks.0.upsamplers.0.conv",
    "output_blocks_3_0_out_layers_3": "up_blocks.1.resnets.0.conv2",
    "time_embed_0": "time_embedding.linear_1",
    "label_emb_0_2": "add_embedding.linear_2",
    "out_2": "conv_out",
}
# What Black Forest Labs call the modules of Flux that kohya's names are made of.
FLUX = {
    "double_blocks_0_img_attn_proj": "transformer_blocks.0.attn.to_out.0",
    "double_blocks_0_img_mlp_0": "transformer_blocks.0.ff.net.0.proj",
    "double_blocks_0_txt_mod_lin": "transformer_blocks.0.norm1_context.linear",
    "single_blocks_0_linear2": "single_transformer_blocks.0.proj_out",
    "single_blocks_0_modulation_lin": "single_transformer_blocks.0.norm.linear",
}


@dataclass(frozen=True)
class Case:
    """A LoRA file: for which pipeline, how it is written, and how diffusers loads it."""

    pipeline: str
    write: Callable[[Path, Path], Path]
    load: Callable[[Any, Path], object] | None = None


def kohya(base, component, prefix, pattern):
    found = modules(base, component, pattern).items()
    return {f"{prefix}_{path.replace('.', '_')}": name for path, name in found}


def kohya_clip(base, component, prefix):
    names = kohya(base, component, prefix, CLIP)
    return {
        key.replace(f"{prefix}_encoder", f"{prefix}_text_model_encoder"): name
        for key, name in names.items()
    }


def sd15_kohya(base, folder):
    everything = r".*(attn\d|conv|proj|ff|linear|embed|shortcut|down|up).*"
    names = kohya(base, "unet", "lora_unet", everything) | kohya_clip(
        base, "text_encoder", "lora_te"
    )
    names = {key: name for key, name in names.items() if "norm" not in key}
    return write_named(base, folder / "sd15.safetensors", names, alpha=lambda _: 2)


def sdxl_kohya(base, folder):
    names = {f"lora_unet_{key}": f"unet/{path}.weight" for key, path in SGM.items()}
    names |= kohya_clip(base, "text_encoder", "lora_te1")
    names |= kohya_clip(base, "text_encoder_2", "lora_te2")
    return write_named(base, folder / "sdxl.safetensors", names, alpha=lambda _: 3)


def flux_kohya(base, folder):
    names = {f"lora_unet_{key}": f"transformer/{path}.weight" for key, path in FLUX.items()}
    names |= kohya_clip(base, "text_encoder", "lora_te1")
    return write_named(base, folder / "flux.safetensors", names, alpha=lambda n: 2 + n % 3)


def attention_processors(prefix):
    def write(base, folder):
        names = {}
        for path, name in modules(base, "unet", ATTENTION).items():
            block, _, part = path.rpartition(".to_")
            names[f"{prefix}{block}.processor.to_{part.removesuffix('.0')}_lora"] = name
        return write_named(base, folder / "procs.safetensors", names, down="down", up="up")

    return write


def by_diffusers(targets, **options):
    return lambda base, folder: write_by_diffusers(base, folder, targets, **options)


def sd15_unet_alone(base, folder):
    torch.manual_seed(3)
    unet = load(base).unet
    options = {"r": 3, "lora_alpha": 5, "alpha_pattern": {"conv2": 2}}
    unet.add_adapter(LoraConfig(target_modules=["to_v", "conv2"], **options))
    for name, parameter in unet.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.3)
    unet.save_lora_adapter(folder, adapter_name="default")
    return folder / "pytorch_lora_weights.safetensors"


def load_into_unet(pipeline, path):
    pipeline.unet.load_lora_adapter(path.parent, weight_name=path.name, prefix=None)


def lokr_of_diffusers(base, folder):
    torch.manual_seed(3)
    unet = load(base).unet
    unet.add_adapter(LoKrConfig(r=2, alpha=3, target_modules=["to_v", "conv2"]))
    for name, parameter in unet.named_parameters():
        if "lokr_" in name:
            parameter.data.normal_(0, 0.3)
    unet.save_lora_adapter(folder, adapter_name="default")
    return folder / "pytorch_lora_weights.safetensors"


def load_lokr(pipeline, path):
    pipeline.unet.load_lora_adapter(path.parent, weight_name=path.name, prefix=None)


ATTENTION_ONLY = ["to_q", "to_k", "to_v", "to_out.0"]
CLIP_ATTENTION = ["q_proj", "k_proj", "v_proj", "out_proj"]

CASES = {
    "sd15: PEFT keys, LoraConfig in the metadata": Case(
        "sd15",
        by_diffusers(
            {"unet": ["to_q", "conv1", "proj_in", "ff.net.2"], "text_encoder": ["q_proj", "fc1"]},
            metadata=True,
            lora_alpha=6,
            rank_pattern={"to_q": 2},
            alpha_pattern={"mid_block.resnets.0.conv1": 7},
        ),
    ),
    "sd15: diffusers keys": Case(
        "sd15",
        by_diffusers({"unet": ATTENTION_ONLY, "text_encoder": CLIP_ATTENTION}, style="diffusers"),
    ),
    "sd15: attention processors": Case("sd15", attention_processors("unet.")),
    "sd15: attention processors, no prefix": Case("sd15", attention_processors(""), load_into_unet),
    "sd15: the UNet's own adapter": Case("sd15", sd15_unet_alone, load_into_unet),
    "sd15: kohya, conv too": Case("sd15", sd15_kohya),
    "sdxl: PEFT keys, rsLoRA": Case(
        "sdxl",
        by_diffusers(
            {
                "unet": [*ATTENTION_ONLY, "conv2", "conv_in", "conv_shortcut"],
                "text_encoder": CLIP_ATTENTION,
                "text_encoder_2": ["k_proj", "fc1", "fc2"],
            },
            metadata=True,
            use_rslora=True,
        ),
    ),
    "sdxl: kohya, conv too": Case("sdxl", sdxl_kohya),
    "sd15: PEFT keys, DoRA": Case(
        "sd15",
        # In the UNet alone: with transformers 5.23, diffusers 0.42.1 loses magnitudes elsewhere.
        by_diffusers({"unet": ["to_q", "conv1"]}, metadata=True, use_dora=True),
    ),
    "sdxl: PEFT keys, DoRA without metadata": Case(
        "sdxl",
        by_diffusers({"unet": ["to_k", "ff.net.2"]}, use_dora=True),
    ),
    "flux: PEFT keys, biases": Case(
        "flux",
        by_diffusers({"transformer": ["to_q", "proj_mlp"]}, metadata=True, lora_bias=True),
    ),
    "flux: PEFT keys, biases without metadata": Case(
        "flux", by_diffusers({"transformer": ["to_q", "proj_mlp"]}, lora_bias=True)
    ),
    "sd15: LoKr of diffusers": Case("sd15", lokr_of_diffusers, load_lokr),
    "sd3: PEFT keys": Case(
        "sd3",
        by_diffusers(
            {"transformer": [*ATTENTION_ONLY, "add_q_proj"], "text_encoder_2": CLIP_ATTENTION}
        ),
    ),
    "sd3: diffusers keys": Case(
        "sd3", by_diffusers({"transformer": ATTENTION_ONLY}, style="diffusers")
    ),
    "flux: PEFT keys": Case(
        "flux",
        by_diffusers(
            {
                "transformer": [*ATTENTION_ONLY, "proj_mlp", "x_embedder"],
                "text_encoder": ["v_proj", "fc1"],
            },
            metadata=True,
            lora_alpha=8,
        ),
    ),
    "flux: kohya": Case("flux", flux_kohya),
}
