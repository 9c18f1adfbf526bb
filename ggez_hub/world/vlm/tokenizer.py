"""The language model's tokenizer: a byte-level BPE for English and Thai, with the tokens of a chat.

Unlike the CLIP's it keeps capitals, because it writes too, and it ends no text by itself.
"""

from __future__ import annotations

from typing import Any

from ggez_hub.world.tokenizer import END, PAD, START, corpus, learn_pieces

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
