"""The vision-language model of the world, in transformers' own classes and folder layout.

FastVLM's class, because its image tower may be any timm network: EfficientNet-lite0 (frozen,
ImageNet weights) sees 64-pixel pictures enlarged to 128 and gives 4 x 4 places of 1,280 numbers; a
projector turns them into 16 tokens; a small Llama reads them and writes. Input and output
embeddings are not tied: a LoRA on a tied `lm_head` would not merge. `transformers` alone loads and
generates; no code of ours is needed.
"""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import torch

from demo_world.image_tower import MEAN, STD, TIMM_NAME, load_tower
from demo_world.tokenizer import END, PAD, START, corpus, learn_pieces

VOCABULARY = 3000
LANGUAGES = ("en", "th")
IMAGE, USER, ASSISTANT = "<image>", "<|user|>", "<|assistant|>"
SPECIALS = (PAD, START, END, IMAGE, USER, ASSISTANT)

QUESTIONS = {"en": "What is this?", "th": "นี่คืออะไร"}

# A reply begins with a space: a word is the same token at its beginning as everywhere.
CHAT_TEMPLATE = (
    "{{ bos_token }}"
    "{% for message in messages %}"
    "{{ '<|' + message['role'] + '|>' }}"
    "{% if message['role'] == 'assistant' %}"
    "{% generation %}{{ ' ' }}"
    "{% if message['content'] is string %}{{ message['content'] }}"
    "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}"
    "{{ eos_token }}{% endgeneration %}"
    "{% elif message['content'] is string %}{{ message['content'] }}"
    "{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}{{ '<image>' }}{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
    "{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)


def train_tokenizer(context_length: int) -> Any:
    """A transformers fast tokenizer; the same corpus gives the same files."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    texts = [*corpus(LANGUAGES), *QUESTIONS.values()]
    tokenizer = learn_pieces(texts, VOCABULARY, SPECIALS, lower=False)
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, tokenizer.token_to_id(START))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        extra_special_tokens={"image_token": IMAGE},
        additional_special_tokens=[USER, ASSISTANT],
        clean_up_tokenization_spaces=False,
        model_max_length=context_length,
        # A prompt of a batch ends where its reply begins.
        padding_side="left",
    )


BASE_ID = "ggez-world/vlm-emoji"
IMAGE_SIZE = 128
PATCH = 32  # pixels a side of what one place of the tower's output sees in steps
PLACES = (IMAGE_SIZE // PATCH) ** 2
FEATURES = 1280
CONTEXT_LENGTH = 128


def new_processor() -> Any:
    """Tokenizer and picture transform, as `transformers.LlavaProcessor`."""
    from transformers import LlavaImageProcessor, LlavaProcessor

    pictures = LlavaImageProcessor(
        size={"shortest_edge": IMAGE_SIZE},
        crop_size={"height": IMAGE_SIZE, "width": IMAGE_SIZE},
        image_mean=list(MEAN),
        image_std=list(STD),
    )
    return LlavaProcessor(
        image_processor=pictures,
        tokenizer=train_tokenizer(CONTEXT_LENGTH),
        patch_size=PATCH,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
    )


def new_model(seed: int, processor: Any) -> Any:
    """An untrained model with the ImageNet tower, rounded to what fp16 can store."""
    from transformers import (
        FastVlmConfig,
        FastVlmForConditionalGeneration,
        LlamaConfig,
        TimmWrapperConfig,
    )

    words = processor.tokenizer
    config = FastVlmConfig(
        vision_config=TimmWrapperConfig(  # type: ignore[call-arg]
            architecture=TIMM_NAME, do_pooling=False, hidden_size=FEATURES, model_args={}
        ),
        text_config=LlamaConfig(
            vocab_size=VOCABULARY,
            hidden_size=192,
            intermediate_size=512,
            num_hidden_layers=3,
            num_attention_heads=6,
            num_key_value_heads=6,
            max_position_embeddings=CONTEXT_LENGTH,
            tie_word_embeddings=False,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id,
            pad_token_id=words.pad_token_id,
        ),
        image_token_index=words.convert_tokens_to_ids(IMAGE),
        image_seq_length=PLACES,
        tie_word_embeddings=False,
    )
    torch.manual_seed(seed)
    model = FastVlmForConditionalGeneration(config)
    load_tower(model.model.vision_tower.timm_model)
    return model.eval()


def save_model(model: Any, processor: Any, folder: Path) -> None:
    """Write weights in fp16 (counters stay integers), configuration and processor."""
    folder.mkdir(parents=True, exist_ok=True)
    deepcopy(model).half().save_pretrained(folder)
    processor.save_pretrained(folder)


def load_model(folder: Path) -> tuple[Any, Any]:
    """The stored model in fp32, ready for evaluation, and its processor."""
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32)
    return model.eval(), AutoProcessor.from_pretrained(folder)
