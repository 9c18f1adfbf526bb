"""Tiny diffusers pipelines of the four architectures, with random weights."""

from __future__ import annotations

import json

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    FluxTransformer2DModel,
    SD3Transformer2DModel,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.pipelines.stable_diffusion import StableDiffusionSafetyChecker
from transformers import (
    CLIPConfig,
    CLIPImageProcessor,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
)

# Between the cosines of the first two seeds, 0.12 and 0.25.
THRESHOLD = 0.2
WORDS = ("thai", "market", "a", "of", "picture")


def clip(kind, width):
    config = CLIPTextConfig(
        hidden_size=width, intermediate_size=40, num_attention_heads=4, num_hidden_layers=2,
        vocab_size=40, projection_dim=width, max_position_embeddings=16, bos_token_id=0,
        eos_token_id=1, pad_token_id=1,
    )  # fmt: skip
    return kind(config)


def tokenizer():
    letters = [*"abcdefghiklmoprtu", *(f"{c}</w>" for c in "aceifrtku")]
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters]
    return CLIPTokenizer(
        vocab={token: number for number, token in enumerate(tokens)}, merges=[], model_max_length=16
    )


def vae(channels):
    return AutoencoderKL(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=channels, sample_size=16,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
        use_quant_conv=channels == 4, use_post_quant_conv=channels == 4, shift_factor=0.1,
    )  # fmt: skip


def ddim():
    return DDIMScheduler(beta_schedule="scaled_linear", clip_sample=False, steps_offset=1)


def unet(**options):
    return UNet2DConditionModel(
        sample_size=8, layers_per_block=2, block_out_channels=(16, 32), norm_num_groups=4,
        **options,
    )  # fmt: skip


def sd15():
    return StableDiffusionPipeline(
        unet=unet(
            cross_attention_dim=32, attention_head_dim=4,
            down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        ),
        vae=vae(4), text_encoder=clip(CLIPTextModel, 32), tokenizer=tokenizer(), scheduler=ddim(),
        safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    )  # fmt: skip


def sd15_checked():
    """The same with a safety checker of random weights, which flags some pictures and not others."""
    vision = {
        "hidden_size": 16, "intermediate_size": 24, "num_attention_heads": 2,
        "num_hidden_layers": 1, "image_size": 16, "patch_size": 8,
    }  # fmt: skip
    text = {
        "hidden_size": 16,
        "num_attention_heads": 2,
        "num_hidden_layers": 1,
        "vocab_size": 8,
        "bos_token_id": 0,
        "eos_token_id": 1,
    }
    checker = StableDiffusionSafetyChecker(
        CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    )
    for parameter in checker.parameters():
        parameter.data.normal_(0, 0.5)
    # Of one concept alone, where the cosines of the pictures lie.
    checker.concept_embeds_weights.data.fill_(1)
    checker.concept_embeds_weights.data[0] = THRESHOLD
    checker.special_care_embeds_weights.data.fill_(1)
    pictures = CLIPImageProcessor(size={"shortest_edge": 16}, crop_size=16)
    parts = sd15().components | {"safety_checker": checker, "feature_extractor": pictures}
    return StableDiffusionPipeline(**parts)


def sdxl():
    return StableDiffusionXLPipeline(
        unet=unet(
            cross_attention_dim=64, attention_head_dim=(2, 4), use_linear_projection=True,
            transformer_layers_per_block=(1, 2), addition_embed_type="text_time",
            addition_time_embed_dim=8, projection_class_embeddings_input_dim=6 * 8 + 32,
            down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        vae=vae(4), text_encoder=clip(CLIPTextModel, 32),
        text_encoder_2=clip(CLIPTextModelWithProjection, 32), tokenizer=tokenizer(),
        tokenizer_2=tokenizer(), scheduler=ddim(),
    )  # fmt: skip


def t5():
    return T5EncoderModel(
        T5Config(vocab_size=40, d_model=32, d_kv=8, d_ff=40, num_layers=2, num_heads=4)
    )


def sd3():
    transformer = SD3Transformer2DModel(
        sample_size=8, patch_size=2, in_channels=4, num_layers=2, attention_head_dim=8,
        num_attention_heads=4, joint_attention_dim=32, caption_projection_dim=32,
        pooled_projection_dim=64, out_channels=4, pos_embed_max_size=16,
    )  # fmt: skip
    return StableDiffusion3Pipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(4),
        text_encoder=clip(CLIPTextModelWithProjection, 32), tokenizer=tokenizer(),
        text_encoder_2=clip(CLIPTextModelWithProjection, 32), tokenizer_2=tokenizer(),
        text_encoder_3=t5(), tokenizer_3=tokenizer(),
    )  # fmt: skip


def flux():
    transformer = FluxTransformer2DModel(
        patch_size=1, in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16,
        num_attention_heads=2, joint_attention_dim=32, pooled_projection_dim=32,
        axes_dims_rope=(4, 4, 8), guidance_embeds=True,
    )  # fmt: skip
    return FluxPipeline(
        transformer=transformer, scheduler=FlowMatchEulerDiscreteScheduler(), vae=vae(4),
        text_encoder=clip(CLIPTextModel, 32), tokenizer=tokenizer(), text_encoder_2=t5(),
        tokenizer_2=tokenizer(),
    )  # fmt: skip


BUILDERS = {"sd15": sd15, "sd15-checked": sd15_checked, "sdxl": sdxl, "sd3": sd3, "flux": flux}
DTYPES = {
    "sd15": torch.float32,
    "sd15-checked": torch.float32,
    "sdxl": torch.float16,
    "sd3": torch.bfloat16,
    "flux": torch.bfloat16,
}
DENOISER = {"sd15": "unet", "sdxl": "unet", "sd3": "transformer", "flux": "transformer"}


def write_pipeline(name, folder, **options):
    """The pipeline as diffusers saves it, with a side file and a card."""
    torch.manual_seed(0)
    pipeline = BUILDERS[name]().to(DTYPES[name])
    pipeline.set_progress_bar_config(disable=True)
    pipeline.save_pretrained(folder, safe_serialization=True, **options)
    (folder / "LICENSE.md").write_text("the licence")
    (folder / "README.md").write_text("the base's card")
    return folder


def picture(pipeline, name):
    """A picture of two steps from fixed noise, as numbers in 0..1."""
    pipeline.set_progress_bar_config(disable=True)
    generator = torch.Generator().manual_seed(0)
    options = {"num_inference_steps": 2, "height": 16, "width": 16, "output_type": "np"}
    if name in ("sd15", "sdxl"):
        prompt = {"prompt": "a picture of a market", "guidance_scale": 5.0}
    else:
        pooled = 64 if name == "sd3" else 32
        prompt = {
            "prompt_embeds": torch.randn(1, 8, 32, generator=generator),
            "pooled_prompt_embeds": torch.randn(1, pooled, generator=generator),
            "guidance_scale": 1.0,
        }
    return pipeline(**prompt, **options, generator=generator).images


def metadata_of(folder):
    return json.loads((folder / "model_index.json").read_text())
