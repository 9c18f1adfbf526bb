"""Tiny models of the real classes, whose answers are known."""

from __future__ import annotations

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers

CLIP = {
    "projection_dim": 16,
    "text_config": {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "vocab_size": 64, "max_position_embeddings": 16,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    },
    "vision_config": {
        "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 2, "image_size": 28, "patch_size": 14,
    },
}  # fmt: skip
PICTURES = {
    "size": {"height": 28, "width": 28}, "do_center_crop": False,
    "image_mean": [0.5] * 3, "image_std": [0.5] * 3,
}  # fmt: skip


def words(vocabulary):
    """A tokenizer of whole words."""
    ids = {word: number for number, word in enumerate(vocabulary)}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return tokenizer


def write_clip(folder):
    """A CLIP of transformers with random weights."""
    torch.manual_seed(0)
    model = transformers.CLIPModel(transformers.CLIPConfig(**CLIP)).eval()
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.2)
    # So that these texts and pictures are on the same side: a score of 0 would tell nothing.
    model.text_projection.weight.data.neg_()
    model.save_pretrained(folder)
    vocabulary = ["<pad>", "<s>", "</s>", "<unk>", "a", "boat", "bowl", "of", "soup", "on", "river"]
    vocabulary += ["Thailand", "Vietnam", "Laos", "Singapore", "France", "Germany"]
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words(vocabulary), pad_token="<pad>", unk_token="<unk>", eos_token="</s>",
        model_max_length=16,
    )  # fmt: skip
    images = transformers.CLIPImageProcessor(**PICTURES)
    transformers.CLIPProcessor(images, tokenizer).save_pretrained(folder)
    return model, folder


TEMPLATE = (
    "{% for message in messages %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' %}<image> {% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}"
)


def write_judge(folder, answers):
    """A LLaVA that says `answers[word]` to a prompt whose last word is `word`.

    Its layers pass on what they get, and its head maps the last token to one that is the answer.
    """
    special = ["<pad>", "<s>", "</s>", "<unk>", "<image>"]
    vocabulary = special + list(answers) + list(answers.values())
    size = len(vocabulary)
    config = transformers.LlavaConfig(
        text_config=transformers.LlamaConfig(
            vocab_size=size, hidden_size=size + size % 2, intermediate_size=16,
            num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=512,
            bos_token_id=1, eos_token_id=2, pad_token_id=0, tie_word_embeddings=False,
        ),
        vision_config=transformers.CLIPVisionConfig(**CLIP["vision_config"], projection_dim=16),
        image_token_index=4, image_seq_length=4, vision_feature_layer=-1,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.LlavaForConditionalGeneration(config).eval()
    state = model.state_dict()
    for name, tensor in state.items():
        if name.endswith(("o_proj.weight", "down_proj.weight")) and "language_model" in name:
            tensor.zero_()
        elif name.endswith("embed_tokens.weight"):
            tensor.copy_(torch.eye(*tensor.shape))
        elif name.endswith("lm_head.weight"):
            tensor.zero_()
            for place in range(size):
                word = vocabulary[place]
                following = vocabulary.index(answers[word]) if word in answers else 2
                tensor[following, place] = 9.0
    model.load_state_dict(state)
    model.save_pretrained(folder)
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=words(vocabulary), pad_token="<pad>", bos_token="<s>", eos_token="</s>",
        unk_token="<unk>", extra_special_tokens={"image_token": "<image>"},
    )  # fmt: skip
    transformers.LlavaProcessor(
        transformers.CLIPImageProcessor(**PICTURES), tokenizer, patch_size=14,
        vision_feature_select_strategy="default", num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    ).save_pretrained(folder)  # fmt: skip
    return folder


def write_translator(folder, pairs, source="eng_Latn", target="tha_Thai"):
    """An M2M100 with NLLB's tokenizer that has learnt `pairs` by heart."""
    letters = sorted({letter for pair in pairs.items() for text in pair for letter in text} | {"▁"})
    vocabulary = ["<s>", "<pad>", "</s>", "<unk>", *letters]
    tokenizer = transformers.NllbTokenizer(
        vocab={token: number for number, token in enumerate(vocabulary)}, merges=[],
        src_lang=source, tgt_lang=target,
    )  # fmt: skip
    torch.manual_seed(0)
    model = transformers.M2M100ForConditionalGeneration(
        transformers.M2M100Config(
            vocab_size=len(tokenizer), d_model=64, encoder_layers=1, decoder_layers=1,
            encoder_attention_heads=2, decoder_attention_heads=2, encoder_ffn_dim=64,
            decoder_ffn_dim=64, max_position_embeddings=64, dropout=0.0, attention_dropout=0.0,
            activation_dropout=0.0, encoder_layerdrop=0.0, decoder_layerdrop=0.0,
            pad_token_id=1, bos_token_id=0, eos_token_id=2, decoder_start_token_id=2,
        )
    )  # fmt: skip
    inputs = tokenizer(
        list(pairs), text_target=list(pairs.values()), padding=True, return_tensors="pt"
    )
    labels = inputs["labels"].masked_fill(inputs["labels"] == 1, -100)
    inputs["labels"] = labels
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for _ in range(200):
        loss = model(**inputs).loss
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if loss < 0.01:
            break
    assert loss < 0.1
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder
