"""Tiny models and adapters of real architectures, with random weights."""

from __future__ import annotations

import json
import warnings

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


def write_open_clip(folder, dtype, *, buffer=True):
    """An open_clip folder: a ViT and a text tower, with side files.

    With `buffer` it holds a tensor of integers, which open_clip itself would not load.
    """
    state = {name: t.to(dtype).contiguous() for name, t in open_clip_model().state_dict().items()}
    # An integer buffer and a negative zero, which a careless merge would change.
    if buffer:
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

    model = open_clip_model()
    # The model has set a seed of its own.
    torch.manual_seed(seed)
    config = peft.LoraConfig(target_modules=targets, **{"r": 4, "lora_alpha": 6, **options})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, config)
    for name, parameter in wrapped.named_parameters():
        if "lora_" in name:
            parameter.data.normal_(0, 0.2)
    wrapped.save_pretrained(folder)
    return folder
