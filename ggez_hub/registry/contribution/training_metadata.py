"""What training programs write into an adapter: kohya's `ss_*`, `modelspec.*`, PEFT's config.

Sources: https://github.com/kohya-ss/sd-scripts (library/train_util.py, networks/*.py) and
https://github.com/Stability-AI/ModelSpec. Everything is a claim of the file.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ggez_hub.cards.safety import plain_text
from ggez_hub.http_address import NAME

# Figures of a training run that reveal nothing about the person or their disk: no folder names,
# captions, tags or comments.
HYPER_PARAMETERS = (
    "network_dim", "network_alpha", "network_dropout", "learning_rate", "unet_lr",
    "text_encoder_lr", "optimizer", "lr_scheduler", "lr_warmup_steps", "max_train_steps", "steps",
    "num_epochs", "epoch", "num_train_images", "num_reg_images", "num_batches_per_epoch",
    "total_batch_size", "batch_size_per_device", "gradient_accumulation_steps", "resolution",
    "mixed_precision", "clip_skip", "min_snr_gamma", "noise_offset", "prior_loss_weight",
    "max_grad_norm", "caption_dropout_rate", "max_token_length", "scale_weight_norms",
    "v_prediction", "full_fp16", "gradient_checkpointing", "lowram",
)  # fmt: skip

# The published checkpoints by the names of their files, and what architectures are usually
# trained on. Reviewed by hand: a wrong base is worse than a question.
SD15 = "stable-diffusion-v1-5/stable-diffusion-v1-5"
SDXL = "stabilityai/stable-diffusion-xl-base-1.0"
FLUX = "black-forest-labs/FLUX.1-dev"
SD3 = "stabilityai/stable-diffusion-3-medium-diffusers"
CHECKPOINTS: Mapping[str, str] = {
    "v1-5-pruned": SD15,
    "v1-5-pruned-emaonly": SD15,
    "sd_xl_base_1.0": SDXL,
    "flux1-dev": FLUX,
    "sd3_medium": SD3,
}
ARCHITECTURES: Mapping[str, str] = {
    "stable-diffusion-v1": SD15,
    "sd_v1": SD15,
    "stable-diffusion-xl-v1-base": SDXL,
    "sdxl_base_v1-0": SDXL,
    "flux-1-dev": FLUX,
    "flux1": FLUX,
    "stable-diffusion-3-medium": SD3,
    "sd3": SD3,
}
REPO = re.compile(rf"^{NAME}/{NAME}\Z")
NUMBER = re.compile(r"^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")


@dataclass(frozen=True)
class TrainingMetadata:
    """What an adapter's own files claim.

    base           the repository that it was trained on
    likely_base    the repository that adapters of its architecture are usually trained on
    checkpoint     the name of the checkpoint's file, where it is not a known one
    """

    base: str | None = None
    likely_base: str | None = None
    checkpoint: str | None = None
    title: str | None = None
    license: str | None = None
    method: str | None = None
    hyper_parameters: dict[str, float | int | str | bool] = field(default_factory=dict)
    seed: int | None = None
    versions: dict[str, str] = field(default_factory=dict)


def metadata_of_safetensors(metadata: Mapping[str, str]) -> TrainingMetadata:
    """The claims in the metadata of a safetensors file."""
    values = {key: text for key, value in metadata.items() if (text := _clean(value)) is not None}
    checkpoint = _checkpoint(values.get("ss_sd_model_name"))
    architecture = values.get("modelspec.architecture", "").partition("/")[0]
    base = CHECKPOINTS.get(checkpoint or "")
    if base is None and checkpoint and REPO.match(checkpoint):
        base = checkpoint
    network = values.get("ss_network_module")
    seed = _value(values.get("ss_seed", ""))
    commit = values.get("ss_sd_scripts_commit_hash")
    return TrainingMetadata(
        base=base,
        likely_base=ARCHITECTURES.get(architecture)
        or ARCHITECTURES.get(values.get("ss_base_model_version", "")),
        checkpoint=None if base else checkpoint,
        title=values.get("modelspec.title"),
        license=values.get("modelspec.license"),
        method=f"{network} of kohya's sd-scripts" if network else None,
        hyper_parameters={
            key: _value(values[f"ss_{key}"]) for key in HYPER_PARAMETERS if f"ss_{key}" in values
        },
        seed=seed if type(seed) is int else None,
        versions={"sd-scripts": commit} if commit else {},
    )


def metadata_of_peft(config: Mapping[str, Any]) -> TrainingMetadata:
    """The claims in PEFT's adapter_config.json."""
    named = config.get("base_model_name_or_path")
    named = _clean(named) if isinstance(named, str) else None
    version = config.get("peft_version")
    parameters = {
        key: value
        for key in ("r", "lora_alpha", "alpha", "lora_dropout", "use_rslora", "use_dora", "bias")
        if isinstance(value := config.get(key), (bool, int, float, str))
    }
    return TrainingMetadata(
        base=named if named and REPO.match(named) else None,
        checkpoint=None if not named or REPO.match(named) else _checkpoint(named),
        method=f"{config.get('peft_type')} by PEFT",
        hyper_parameters=parameters,
        versions={"peft": version} if isinstance(version, str) and _clean(version) else {},
    )


def _clean(value: str) -> str | None:
    text = value.strip()
    if text in {"", "None", "null", "unknown"} or len(text) > 2000:
        return None
    try:
        return plain_text(text)
    except ValueError:
        return None


def _checkpoint(name: str | None) -> str | None:
    """A repository as it is; of a path only the name of the file, without its ending."""
    if name is None or (REPO.match(name) and not name.endswith((".safetensors", ".ckpt"))):
        return name
    stem = re.split(r"[/\\]", name)[-1]
    return re.sub(r"\.(safetensors|ckpt|pt|pth)\Z", "", stem) or None


def _value(text: str) -> float | int | str | bool:
    """A figure as a figure: everything in this metadata is a string."""
    if text in {"True", "False"}:
        return text == "True"
    if not NUMBER.match(text) or len(text) > 30:
        return text
    return float(text) if any(c in text for c in ".eE") else int(text)
