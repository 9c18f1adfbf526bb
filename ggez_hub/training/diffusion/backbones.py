"""How the denoiser of each architecture is called, and its inputs beside the noisy latents."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

Conditions: TypeAlias = dict[str, Tensor]
"""Keyword -> (n, ...): inputs of the denoiser, `encoder_hidden_states` among them."""

HIDDEN, POOLED = "encoder_hidden_states", "pooled_projections"
# Pixels of a side to a latent's in every autoencoder of Stable Diffusion and Flux.
PIXELS_PER_LATENT = 8
# Tokens of CLIP's text encoders; of T5's by the pipelines' own defaults.
CLIP_TOKENS, SD3_TOKENS, FLUX_TOKENS = 77, 256, 512
# Numbers by which SDXL knows the size and cut of a picture.
SIZES = 6


@dataclass(frozen=True)
class Backbone:
    """A class of denoisers in diffusers.

    component  the pipeline's name for it
    call       model, noisy latents (n, c, h, w), times (n,), conditions and the guidance scale: the
               prediction (n, c, h, w)
    blank      conditions of n captions, all zero: configuration, n, tokens of T5 or None, dtype
    packing    channels of the model's input to those of latents
    patch      latents of a side that make one token: resolutions are multiples
    """

    component: str
    call: Callable[[Any, Tensor, Tensor, Mapping[str, Tensor], float], Tensor]
    blank: Callable[[Any, int, int | None, torch.dtype], Conditions]
    packing: int = 1
    patch: int = 1


def _call_unet(
    model: Any, noisy: Tensor, times: Tensor, conditions: Mapping[str, Tensor], guidance: float
) -> Tensor:
    added = {name: tensor for name, tensor in conditions.items() if name != HIDDEN}
    found: Tensor = model(
        noisy, times, encoder_hidden_states=conditions[HIDDEN], added_cond_kwargs=added or None
    ).sample
    return found


def _blank_unet(config: Any, n: int, tokens: int | None, dtype: torch.dtype) -> Conditions:
    blank = {HIDDEN: torch.zeros(n, CLIP_TOKENS, config.cross_attention_dim, dtype=dtype)}
    if config.addition_embed_type == "text_time":
        width = config.projection_class_embeddings_input_dim
        pooled = width - SIZES * config.addition_time_embed_dim
        blank |= {"text_embeds": torch.zeros(n, pooled), "time_ids": torch.zeros(n, SIZES)}
    return blank


def _call_sd3(
    model: Any, noisy: Tensor, times: Tensor, conditions: Mapping[str, Tensor], guidance: float
) -> Tensor:
    found: Tensor = model(hidden_states=noisy, timestep=times, **conditions).sample
    return found


def _call_flux(
    model: Any, noisy: Tensor, times: Tensor, conditions: Mapping[str, Tensor], guidance: float
) -> Tensor:
    """Four latents of a square are one token of Flux, placed by an id; texts have no place."""
    from diffusers import FluxPipeline

    n, channels, height, width = noisy.shape
    device, dtype = noisy.device, noisy.dtype
    scale = torch.full((n,), guidance, device=device) if model.config.guidance_embeds else None
    packed = model(
        hidden_states=FluxPipeline._pack_latents(noisy, n, channels, height, width),
        # As its pipeline: the model multiplies by 1000 again.
        timestep=times / 1000,
        guidance=scale,
        txt_ids=torch.zeros(conditions[HIDDEN].shape[1], 3, device=device, dtype=dtype),
        img_ids=FluxPipeline._prepare_latent_image_ids(n, height // 2, width // 2, device, dtype),
        **conditions,
    ).sample
    found: Tensor = FluxPipeline._unpack_latents(packed, height, width, vae_scale_factor=1)
    return found


def _blank_transformer(
    clip: int, t5: int, config: Any, n: int, tokens: int | None, dtype: torch.dtype
) -> Conditions:
    length = clip + (tokens or t5)
    return {
        HIDDEN: torch.zeros(n, length, config.joint_attention_dim, dtype=dtype),
        POOLED: torch.zeros(n, config.pooled_projection_dim, dtype=dtype),
    }


BACKBONES: Mapping[str, Backbone] = {
    "UNet2DConditionModel": Backbone("unet", _call_unet, _blank_unet),
    "SD3Transformer2DModel": Backbone(
        "transformer", _call_sd3, partial(_blank_transformer, CLIP_TOKENS, SD3_TOKENS), patch=2
    ),
    "FluxTransformer2DModel": Backbone(
        "transformer", _call_flux, partial(_blank_transformer, 0, FLUX_TOKENS), packing=4, patch=2
    ),
}


def backbone_of(model: nn.Module) -> Backbone:
    """How `model`, or the model that PEFT has wrapped, is called."""
    wrapped: Any = model
    base = wrapped.get_base_model() if hasattr(wrapped, "get_base_model") else wrapped
    return BACKBONES[type(base).__name__]
