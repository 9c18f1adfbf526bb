"""Tiny CLIP and SigLIP folders of transformers, with all that feeds them."""

from __future__ import annotations

import torch
import transformers
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from tests.families.architectures import CLIP, SIGLIP_TEXT, VISION, Architecture, write_base

SIGLIP = Architecture(
    "SiglipModel", {"model_type": "siglip", "text_config": SIGLIP_TEXT, "vision_config": VISION}
)


def tokenizer(length=16):
    """A byte-level tokenizer of 64 words, whose last token is that of the end."""
    raw = Tokenizer(models.BPE(unk_token="[UNK]"))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = ["[PAD]", "[BOS]", "[EOS]", "[UNK]"]
    raw.train_from_iterator(
        ["what is shown in picture of answer the dish 0123456789"],
        trainers.BpeTrainer(vocab_size=64, special_tokens=special, show_progress=False),
    )
    raw.post_processor = processors.TemplateProcessing(
        single="[BOS] $A [EOS]", special_tokens=[("[BOS]", 1), ("[EOS]", 2)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=raw, pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]",
        unk_token="[UNK]", model_max_length=length,
    )  # fmt: skip


def write_towers(folder, architecture=CLIP, scale=0.3):
    """A folder with a model, its image processor and its tokenizer; weights are spread wide."""
    folder.mkdir(parents=True, exist_ok=True)
    write_base(folder, architecture, torch.float32)
    for placeholder in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
        (folder / placeholder).unlink()
    model = architecture.build()
    torch.manual_seed(0)
    for parameter in model.parameters():
        parameter.data.normal_(0, scale)
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    transformers.CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(folder)
    return folder
