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
# Of its parts only the UNet is trained; what the Hub shows is the file of the UNet.
UNETS = {SDXL: (UNET, 2_567_463_684)}
SIZES = {repo: size for repo, (_, size) in {**CONFIGS, **UNETS}.items()}


def _write_pipeline(folder, config):
    parts = {"unet": ["diffusers", "UNet2DConditionModel"]}
    (folder / "model_index.json").write_text(
        json.dumps({"_class_name": "StableDiffusionXLPipeline", **parts})
    )
    (folder / "unet").mkdir()
    (folder / "unet" / "config.json").write_text(json.dumps(config))
    for variant in ("", ".fp16"):
        (folder / "unet" / f"diffusion_pytorch_model{variant}.safetensors").touch()
    return folder


def write_outline(folder, repo):
    """The base without its weights: what `--plan` fetches of it."""
    folder.mkdir(parents=True, exist_ok=True)
    if repo in UNETS:
        return _write_pipeline(folder, UNETS[repo][0])
    (folder / "config.json").write_text(json.dumps(CONFIGS[repo][0]))
    (folder / "model.safetensors").touch()
    return folder
