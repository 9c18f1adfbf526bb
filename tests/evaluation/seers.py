"""Tiny LLaVA and Qwen2-VL folders with processor, tokenizer and chat template."""

from __future__ import annotations

import torch
import transformers

from tests.evaluation.towers import tokenizer
from tests.families.architectures import (
    CLIP_VISION,
    LLAMA,
    LLAMA_MODEL,
    QWEN_TEXT,
    QWEN_VISION,
    Architecture,
    write_base,
)

TEMPLATE = (
    "{% for m in messages %}USER: {% for c in m.content %}"
    "{{ IMAGE if c.type == 'image' else c.text }}{% endfor %}{% endfor %} ASSISTANT:"
)
# Tokens of a picture follow the 64 words of the tokenizer.
WORDS = 72
LENGTH = 512


def _tokenizer(*special):
    words = tokenizer(LENGTH)
    words.add_special_tokens({"additional_special_tokens": list(special)})
    return words


def _llava():
    words = _tokenizer("<image>")
    words.image_token = "<image>"
    image = words.convert_tokens_to_ids("<image>")
    config = {
        "model_type": "llava", "text_config": LLAMA | {"vocab_size": WORDS, "max_position_embeddings": LENGTH},
        "vision_config": CLIP_VISION, "image_token_index": image,
    }  # fmt: skip
    pictures = transformers.CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )
    processor = transformers.LlavaProcessor(
        pictures, words, patch_size=14, vision_feature_select_strategy="default",
        num_additional_image_tokens=1, image_token="<image>",
        chat_template=TEMPLATE.replace("IMAGE", "'<image>'"),
    )  # fmt: skip
    return Architecture("LlavaForConditionalGeneration", config), processor


def _qwen2_vl():
    marks = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    words = _tokenizer(*marks)
    image, video, start, end = map(words.convert_tokens_to_ids, marks)
    config = {
        "model_type": "qwen2_vl",
        "text_config": QWEN_TEXT | {"vocab_size": WORDS, "max_position_embeddings": LENGTH},
        "vision_config": QWEN_VISION | {"embed_dim": 32, "mlp_ratio": 2},
        "image_token_id": image, "video_token_id": video, "vision_start_token_id": start,
        "vision_end_token_id": end,
    }  # fmt: skip
    small = {"shortest_edge": 56 * 56, "longest_edge": 56 * 56}
    processor = transformers.Qwen2VLProcessor(
        transformers.Qwen2VLImageProcessor(size=small), words,
        transformers.Qwen2VLVideoProcessor(size=small),
        chat_template=TEMPLATE.replace("IMAGE", "'<|vision_start|><|image_pad|><|vision_end|>'"),
    )  # fmt: skip
    return Architecture("Qwen2VLForConditionalGeneration", config), processor


SEERS = {"llava": _llava, "qwen2-vl": _qwen2_vl}


def write_seer(folder, name, scale=0.3):
    """A vision-language model with random weights that are spread wide."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture, processor = SEERS[name]()
    model = architecture.build()
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, scale)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def write_reader(folder):
    """A language model, which sees nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    return write_base(folder, LLAMA_MODEL, torch.float32)
