"""Tiny models of real architectures, made anew for each session."""

from __future__ import annotations

import json
import warnings

import pytest
import torch
from safetensors.torch import save_file

CONFIG = {
    "embed_dim": 32,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 48, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 16, "vocab_size": 64, "width": 48, "heads": 3, "layers": 2},
}


def open_clip_model():
    import open_clip

    torch.manual_seed(0)
    model = open_clip.CLIP(**CONFIG)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.1)
    return model.eval()


DTYPES = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32}


@pytest.fixture(scope="session", params=DTYPES)
def open_clip_base(request, tmp_path_factory):
    """An open_clip folder in one of three dtypes."""
    return write_open_clip(tmp_path_factory.mktemp("base"), DTYPES[request.param])


@pytest.fixture(scope="session")
def base(tmp_path_factory):
    """An open_clip folder in float16."""
    return write_open_clip(tmp_path_factory.mktemp("base"), torch.float16)


def write_open_clip(folder, dtype):
    """An open_clip folder: a ViT and a text tower, with side files."""
    state = {name: t.to(dtype).contiguous() for name, t in open_clip_model().state_dict().items()}
    # An integer buffer and a negative zero, which a careless merge would change.
    state["text.position_ids"] = torch.arange(16)
    state["ln_final.bias"][0] = -0.0
    save_file(state, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": CONFIG}))
    (folder / "tokenizer_config.json").write_text("{}")
    (folder / "open_clip_pytorch_model.bin").write_bytes(b"never read")
    (folder / "README.md").write_text("the base's card")
    return folder


def write_lora(folder, *, targets, seed=1, **options):
    """A LoRA made by PEFT itself on the tiny model, with random matrices."""
    import peft

    torch.manual_seed(seed)
    model = open_clip_model()
    config = peft.LoraConfig(target_modules=targets, **{"r": 4, "lora_alpha": 6, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.2)
    wrapped.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def lora(tmp_path_factory):
    """MLP, token embedding and patch convolution of both towers, with rank and alpha patterns."""
    return write_lora(
        tmp_path_factory.mktemp("lora"),
        targets=r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)|token_embedding|visual.conv1",
        rank_pattern={"c_fc": 3},
        alpha_pattern={"resblocks.1.mlp.c_proj": 11},
    )
