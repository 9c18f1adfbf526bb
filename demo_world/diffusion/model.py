"""The pipeline before its UNet has learnt anything, as a folder that diffusers loads.

As in Stable Diffusion, prompts are read by the text tower of a CLIP, which stays as it is: here that
of the world's own clip-emoji. It knows the names of all concepts, the regional ones too; what the
UNet is asked to draw for them it has never seen.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from demo_world.diffusion.autoencoder import PIXELS

BASE_ID = "ggez-world/diffusion-emoji"

LATENT_PIXELS, LATENT_CHANNELS = PIXELS // 4, 8
WIDTH, HEADS, LAYERS = 128, 4, 3
PROMPT_LENGTH = 24
"""Tokens of a prompt, the start and the end among them; the longest has 21."""

UNET: dict[str, Any] = {
    "sample_size": LATENT_PIXELS,
    "in_channels": LATENT_CHANNELS,
    "out_channels": LATENT_CHANNELS,
    "block_out_channels": [64, 96],
    "layers_per_block": 1,
    "down_block_types": ["CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "mid_block_type": "UNetMidBlock2DCrossAttn",
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D"],
    "cross_attention_dim": WIDTH,
    # diffusers means the number of heads by this name.
    "attention_head_dim": 4,
    "norm_num_groups": 16,
}
SCHEDULE: dict[str, Any] = {
    "num_train_timesteps": 1000,
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "clip_sample": False,
    "set_alpha_to_one": True,
    "steps_offset": 1,
}


def new_pipeline(autoencoder: Any, clip: Path, seed: int) -> Any:
    """A `StableDiffusionPipeline` whose UNet is random; `clip` is the folder of clip-emoji."""
    from diffusers import DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(clip, local_files_only=True)
    tokenizer.model_max_length = PROMPT_LENGTH
    torch.manual_seed(seed)
    return StableDiffusionPipeline(
        vae=autoencoder,
        text_encoder=text_encoder(clip, len(tokenizer)),
        tokenizer=tokenizer,
        unet=UNet2DConditionModel(**UNET),
        scheduler=DDIMScheduler(**SCHEDULE),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def text_encoder(clip: Path, vocabulary: int) -> Any:
    """The text tower of clip-emoji as transformers' CLIPTextModel: the same hidden states."""
    from safetensors.torch import load_file
    from transformers import CLIPTextConfig, CLIPTextModel

    stored = {k: v.float() for k, v in load_file(clip / "open_clip_model.safetensors").items()}
    config = CLIPTextConfig(
        vocab_size=vocabulary,
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=LAYERS,
        num_attention_heads=HEADS,
        max_position_embeddings=PROMPT_LENGTH,
        hidden_act="gelu",
        pad_token_id=0,
        bos_token_id=vocabulary - 2,
        eos_token_id=vocabulary - 1,
    )
    model = CLIPTextModel(config)
    weights = _renamed(stored)
    prefix = "text_model." if "text_model.final_layer_norm.weight" in model.state_dict() else ""
    missing, unexpected = model.load_state_dict(
        {prefix + name: tensor for name, tensor in weights.items()}, strict=False
    )
    assert not unexpected, unexpected  # noqa: S101 - the same architecture
    assert all("position_ids" in name for name in missing), missing  # noqa: S101
    return model.eval()


def _renamed(stored: dict[str, Tensor]) -> dict[str, Tensor]:
    """open_clip's tensors under transformers' names; query, key and value apart."""
    found = {
        "embeddings.token_embedding.weight": stored["token_embedding.weight"],
        "embeddings.position_embedding.weight": stored["positional_embedding"][:PROMPT_LENGTH],
        "final_layer_norm.weight": stored["ln_final.weight"],
        "final_layer_norm.bias": stored["ln_final.bias"],
    }
    for number in range(LAYERS):
        ours, theirs = f"transformer.resblocks.{number}.", f"encoder.layers.{number}."
        for kind in ("weight", "bias"):
            parts = stored[f"{ours}attn.in_proj_{kind}"].chunk(3)
            for letter, part in zip("qkv", parts, strict=True):
                found[f"{theirs}self_attn.{letter}_proj.{kind}"] = part.contiguous()
            for old, new in (
                ("attn.out_proj", "self_attn.out_proj"),
                ("ln_1", "layer_norm1"),
                ("ln_2", "layer_norm2"),
                ("mlp.c_fc", "mlp.fc1"),
                ("mlp.c_proj", "mlp.fc2"),
            ):
                found[f"{theirs}{new}.{kind}"] = stored[f"{ours}{old}.{kind}"]
    return found
