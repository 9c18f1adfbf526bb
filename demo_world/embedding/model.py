"""The CLIP of the world, in open_clip's folder layout.

EfficientNet-lite0 (frozen, ImageNet weights) sees 64-pixel pictures enlarged to 112; a small causal
transformer reads names. `open_clip` itself defines, saves and loads everything:
`open_clip.create_model_and_transforms("local-dir:FOLDER")` needs no code of ours and no network.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn

from demo_world.concepts import STYLES, TRAINING_STYLES, concepts
from demo_world.image_tower import MEAN, STD, TIMM_NAME, TOWER, as_stored, cached, load_tower
from demo_world.pictures import Augmentation
from demo_world.tokenizer import VOCABULARY

BASE_ID = "ggez-world/clip-emoji"
CONTEXT_LENGTH = 40  # the longest name, a Khmer one, has 37 tokens

MODEL_CONFIG: dict[str, Any] = {
    "embed_dim": 128,
    "vision_cfg": {
        "timm_model_name": TIMM_NAME,
        "timm_model_pretrained": False,
        "timm_pool": "avg",
        "timm_proj": "linear",
        "timm_drop": 0.2,
        "image_size": 112,
    },
    "text_cfg": {
        "context_length": CONTEXT_LENGTH,
        "vocab_size": VOCABULARY,
        "hf_tokenizer_name": BASE_ID,
        "width": 128,
        "heads": 4,
        "layers": 3,
        "pool_type": "eos",
        "pad_id": 0,
        "eos_id": VOCABULARY - 1,
    },
}
PREPROCESS_CONFIG: dict[str, Any] = {
    "mean": list(MEAN),
    "std": list(STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}


def new_model(seed: int) -> Any:
    """An untrained `open_clip.CLIP` with the ImageNet tower, rounded to what fp16 can store."""
    from open_clip import CLIP

    torch.manual_seed(seed)
    model = CLIP(**MODEL_CONFIG)
    load_tower(model.visual.trunk)
    return model.eval()


def preprocess() -> Any:
    """The picture transform that open_clip derives from the saved configuration."""
    from open_clip.transform import PreprocessCfg, image_transform_v2

    return image_transform_v2(
        PreprocessCfg(size=MODEL_CONFIG["vision_cfg"]["image_size"], **PREPROCESS_CONFIG),
        is_train=False,
    )


def save_model(model: nn.Module, tokenizer: Any, folder: Path) -> None:
    """Write weights (fp16; counters stay integers), configuration and tokenizer."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    weights = {name: as_stored(tensor).contiguous() for name, tensor in model.state_dict().items()}
    save_file(weights, folder / "open_clip_model.safetensors", metadata={"format": "pt"})
    config = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    (folder / "open_clip_config.json").write_text(
        json.dumps(config, indent=2) + "\n", encoding="utf-8"
    )
    tokenizer.save_pretrained(folder)


def load_model(folder: Path) -> Any:
    """The stored model in fp32, ready for evaluation."""
    import open_clip

    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    return model.eval()


def encode_text(model: Any, tokens: Tensor) -> Tensor:
    """`model.encode_text(tokens, normalize=True)`, without the padding's share of the time."""
    from open_clip.transformer import text_global_pool

    ends = (tokens == model.text_eos_id).int().argmax(dim=-1)
    length = int(ends.max()) + 1
    tokens = tokens[:, :length]
    hidden = model.token_embedding(tokens) + model.positional_embedding[:length]
    hidden = model.ln_final(model.transformer(hidden, attn_mask=model.attn_mask[:length, :length]))
    pooled = text_global_pool(hidden, tokens, model.text_pool_type, eos_token_id=model.text_eos_id)
    return nn.functional.normalize(pooled @ model.text_projection, dim=-1)


def encode_features(model: Any, features: Tensor) -> Tensor:
    """`model.encode_image(pictures, normalize=True)` from the tower's features of the pictures."""
    return nn.functional.normalize(model.visual.head(features), dim=-1)


_BATCH = 64

AUGMENTATION = Augmentation()


def training_features(augmentation: Augmentation) -> Tensor:
    """(concepts, styles x (1 + copies), 1280) for the training styles, cached."""
    return torch.cat([_style_features(style, augmentation) for style in TRAINING_STYLES], dim=1)


def _style_features(style: str, augmentation: Augmentation) -> Tensor:
    key = {
        "style": STYLES[style].record(),
        "tower": TOWER,
        "preprocess": PREPROCESS_CONFIG,
        "augmentation": asdict(augmentation),
        "versions": {library: version(library) for library in ("resvg_py", "torch", "torchvision")},
    }
    found = cached(style, key, lambda: _extract(augmentation.pictures(style)).numpy())
    return torch.from_numpy(found).view(len(concepts()), 1 + augmentation.copies, -1)


@torch.inference_mode()
def _extract(pictures: Iterable[Image.Image]) -> Tensor:
    trunk = new_model(seed=0).visual.trunk
    prepare = preprocess()
    found: list[Tensor] = []
    batch: list[Tensor] = []
    for picture in pictures:
        batch.append(prepare(picture))
        if len(batch) == _BATCH:
            found.append(trunk(torch.stack(batch)))
            batch.clear()
    if batch:
        found.append(trunk(torch.stack(batch)))
    return torch.cat(found)
