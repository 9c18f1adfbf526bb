"""Tiny LLaVA, Qwen2-VL and Gemma 3 folders with processor, tokenizer and chat template."""

from __future__ import annotations

import torch
import transformers

from tests.evaluation.towers import tokenizer
from tests.families.architectures import (
    CLIP_VISION,
    GROUPED,
    LLAMA,
    LLAMA_MODEL,
    QWEN_TEXT,
    QWEN_VISION,
    SIGLIP_VISION,
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


def _llava_of_experts():
    """LLaVA on a mixture of experts: stored one by one, stacked in memory."""
    architecture, processor = _llava()
    config = dict(architecture.config)
    config["text_config"] = config["text_config"] | {
        "model_type": "mixtral",
        "num_local_experts": 2,
    }
    return Architecture(architecture.cls, config), processor


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


def _gemma3():
    marks = {
        "boi_token": "<start_of_image>",
        "image_token": "<image_soft_token>",
        "eoi_token": "<end_of_image>",
    }
    words = _tokenizer(*marks.values())
    words = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words.backend_tokenizer, pad_token="[PAD]", bos_token="[BOS]",
        eos_token="[EOS]", unk_token="[UNK]", model_max_length=LENGTH, extra_special_tokens=marks,
    )  # fmt: skip
    begin, image, end = map(words.convert_tokens_to_ids, marks.values())
    config = {
        "model_type": "gemma3",
        "text_config": GROUPED | {
            "model_type": "gemma3_text", "head_dim": 16, "vocab_size": WORDS, "sliding_window": 8,
            "max_position_embeddings": LENGTH, "layer_types": ["sliding_attention", "full_attention"],
        },
        "vision_config": SIGLIP_VISION, "mm_tokens_per_image": 4, "boi_token_index": begin,
        "eoi_token_index": end, "image_token_index": image, "tie_word_embeddings": False,
    }  # fmt: skip
    pictures = transformers.Gemma3ImageProcessor(size={"height": 28, "width": 28})
    processor = transformers.Gemma3Processor(
        pictures, words, image_seq_length=4,
        chat_template=TEMPLATE.replace("IMAGE", "'<start_of_image>'"),
    )  # fmt: skip
    return Architecture("Gemma3ForConditionalGeneration", config), processor


SEERS = {"llava": _llava, "qwen2-vl": _qwen2_vl, "gemma3": _gemma3}
OF_EXPERTS = {"llava-of-experts": _llava_of_experts}


def write_seer(folder, name, scale=0.3):
    """A vision-language model with random weights that are spread wide."""
    folder.mkdir(parents=True, exist_ok=True)
    architecture, processor = (SEERS | OF_EXPERTS)[name]()
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
