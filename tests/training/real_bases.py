"""Configurations of the bases of the paper, as far as they decide shapes, and their sizes.

The sizes are those that the Hub shows for these repositories: numbers in their safetensors.
"""

from __future__ import annotations

import json

from tests.diffusion.test_real_sizes import SDXL as UNET

SO400M = {
    "hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27,
    "num_attention_heads": 16,
}  # fmt: skip


def _gemma3(hidden, layers, heads, kv_heads, head_dim=256):
    return {
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "mm_tokens_per_image": 256,
        "text_config": {
            "model_type": "gemma3_text", "hidden_size": hidden, "intermediate_size": 4 * hidden,
            "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": kv_heads, "head_dim": head_dim, "vocab_size": 262208,
            "sliding_window": 1024,
        },
        "vision_config": {
            "model_type": "siglip_vision_model", "image_size": 896, "patch_size": 14,
            "vision_use_head": False, **SO400M,
        },
    }  # fmt: skip


CONFIGS = {
    "google/gemma-3-4b-it": (_gemma3(2560, 34, 8, 4), 4_300_079_472),
    "google/gemma-3-12b-it": (_gemma3(3840, 48, 16, 8), 12_187_325_040),
    "google/gemma-3-27b-it": (_gemma3(5376, 62, 32, 16, 128), 27_432_406_640),
    "google/siglip2-so400m-patch14-384": (
        {
            "architectures": ["SiglipModel"],
            "model_type": "siglip",
            "text_config": {
                "vocab_size": 256000, "max_position_embeddings": 64, "projection_size": 1152,
                **SO400M,
            },
            "vision_config": {"image_size": 384, "patch_size": 14, **SO400M},
        },
        1_136_008_498,
    ),
    "openai/clip-vit-base-patch32": (
        {
            "architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 512,
            "text_config": {}, "vision_config": {},
        },
        151_277_313,
    ),
}  # fmt: skip


SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
SD35 = {
    "sample_size": 128, "patch_size": 2, "in_channels": 16, "num_layers": 24,
    "attention_head_dim": 64, "num_attention_heads": 24, "joint_attention_dim": 4096,
    "caption_projection_dim": 1536, "pooled_projection_dim": 2048, "out_channels": 16,
    "pos_embed_max_size": 384, "dual_attention_layers": list(range(13)), "qk_norm": "rms_norm",
}  # fmt: skip


def _flux(*, guidance):
    return {
        "patch_size": 1, "in_channels": 64, "num_layers": 19, "num_single_layers": 38,
        "attention_head_dim": 128, "num_attention_heads": 24, "joint_attention_dim": 4096,
        "pooled_projection_dim": 768, "axes_dims_rope": [16, 56, 56], "guidance_embeds": guidance,
    }  # fmt: skip


# Of their parts only the denoiser is trained; what the Hub shows is its file. That of SD3.5 has
# 226,492,416 numbers more: the table of places, which does not learn.
SD3, FLUX = (
    ("StableDiffusion3Pipeline", "SD3Transformer2DModel"),
    ("FluxPipeline", "FluxTransformer2DModel"),
)
PIPELINES = {
    SDXL: (("StableDiffusionXLPipeline", "UNet2DConditionModel"), UNET, 2_567_463_684),
    "stabilityai/stable-diffusion-3.5-medium": (SD3, SD35, 2_243_171_520),
    "black-forest-labs/FLUX.1-dev": (FLUX, _flux(guidance=True), 11_901_408_320),
    "black-forest-labs/FLUX.1-schnell": (FLUX, _flux(guidance=False), 11_891_178_560),
}
SIZES = {repo: size for repo, (*_, size) in {**CONFIGS, **PIPELINES}.items()}
VAE = {"block_out_channels": [128, 256, 512, 512]}


def _write_pipeline(folder, classes, config):
    denoiser = "unet" if "UNet" in classes[1] else "transformer"
    parts = {denoiser: (classes[1], config), "vae": ("AutoencoderKL", VAE)}
    index = {name: ["diffusers", kind] for name, (kind, _) in parts.items()}
    (folder / "model_index.json").write_text(json.dumps({"_class_name": classes[0], **index}))
    for name, (_, said) in parts.items():
        (folder / name).mkdir()
        (folder / name / "config.json").write_text(json.dumps(said))
        for variant in ("", ".fp16"):
            (folder / name / f"diffusion_pytorch_model{variant}.safetensors").touch()
    return folder


def write_outline(folder, repo):
    """The base without its weights: what `--plan` fetches of it."""
    folder.mkdir(parents=True, exist_ok=True)
    if repo in PIPELINES:
        return _write_pipeline(folder, *PIPELINES[repo][:2])
    (folder / "config.json").write_text(json.dumps(CONFIGS[repo][0]))
    (folder / "model.safetensors").touch()
    return folder
