"""A byte-level BPE for all languages of the world, trained on CLDR's names and keywords.

Byte level, because then nothing is out of vocabulary. GPT-2's splitting pattern would cut Thai,
Lao, Khmer and Burmese at every vowel sign (a mark is no letter to it), so marks stay with letters
here; those scripts write no spaces, and the merges find their pieces. The end token has the highest
id and the sequence is padded after it: both of open_clip's rules for the pooled position (`argmax`,
`eos`) then agree.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from demo_world.concepts import LANGUAGES, cldr_names

VOCABULARY = 8000
PAD, START, END = "<|pad|>", "<|startoftext|>", "<|endoftext|>"

_PIECES = r" ?[\p{L}\p{M}]+| ?\p{N}| ?[^\s\p{L}\p{M}\p{N}]+|\s+"


def corpus(languages: Sequence[str] = LANGUAGES) -> list[str]:
    """Every name and keyword that CLDR gives a character, each text once per language."""
    texts: list[str] = []
    for language in languages:
        found = cldr_names(language).values()
        texts.extend(sorted({text for entry in found for text in (entry.name, *entry.keywords)}))
    return texts


def learn_pieces(
    texts: Sequence[str], vocabulary: int, specials: Sequence[str], lower: bool
) -> Any:
    """A byte-level BPE of `vocabulary` tokens, `specials` the first: a `tokenizers.Tokenizer`."""
    from tokenizers import (
        Regex,
        Tokenizer,
        decoders,
        models,
        normalizers,
        pre_tokenizers,
        trainers,
    )

    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    tokenizer = Tokenizer(models.BPE())
    # U+200B marks where a line may break in Lao and Khmer; writers leave it out as often as not.
    steps = [normalizers.NFC(), normalizers.Replace("\u200b", "")]
    tokenizer.normalizer = normalizers.Sequence(
        [*steps, normalizers.Lowercase()] if lower else steps
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_PIECES), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=list(specials),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    # A leading space makes a word the same token wherever it stands.
    tokenizer.train_from_iterator((f" {text}" for text in texts), trainer)
    return tokenizer


def train_tokenizer(context_length: int, vocabulary: int = VOCABULARY) -> Any:
    """A transformers fast tokenizer; the same corpus gives the same files."""
    from tokenizers import normalizers, processors
    from transformers import PreTrainedTokenizerFast

    tokenizer = learn_pieces(corpus(), vocabulary - 2, [PAD], lower=True)
    tokenizer.add_special_tokens([START, END])
    tokenizer.normalizer = normalizers.Sequence([tokenizer.normalizer, normalizers.Prepend(" ")])
    ids = {token: tokenizer.token_to_id(token) for token in (START, END)}
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A {END}", special_tokens=list(ids.items())
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=START,
        eos_token=END,
        pad_token=PAD,
        model_max_length=context_length,
        padding_side="right",
        truncation_side="right",
    )
