"""Why two kinds of LoRA are refused: what PEFT 0.21.2 itself adds up for them."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch
import transformers

from ..models import open_clip_model

EMBEDDING = "model.embed_tokens.weight"


def adapted(model, config, seed=1):
    """PEFT's model in float64, everything that it trains moved by noise."""
    torch.manual_seed(seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model.double(), config, autocast_adapter_dtype=False).double()
    for parameter in wrapped.parameters():
        if parameter.requires_grad:
            parameter.data.add_(torch.randn_like(parameter) * 0.1)
    return wrapped.eval()


def ratio(after, before, product):
    """How many times `product` was added, if it is a number of times."""
    delta = after - before
    times = (delta * product).sum() / product.square().sum()
    torch.testing.assert_close(delta, times * product)
    return float(times)


def test_the_output_projection_of_attention_is_added_twice():
    model = open_clip_model()
    before = {name: tensor.double() for name, tensor in model.state_dict().items()}
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["transformer.resblocks.0.attn"])
    wrapped = adapted(model, config)
    parts = {
        name.replace(".default", ""): tensor.detach().clone()
        for name, tensor in wrapped.named_parameters()
    }
    after = wrapped.merge_and_unload().state_dict()
    attention = "transformer.resblocks.0.attn"
    prefix = f"base_model.model.{attention}"
    once = parts[f"{prefix}.lora_B.weight"] @ parts[f"{prefix}.lora_A.weight"]
    inside = f"{prefix}.base_layer.out_proj"
    twice = parts[f"{inside}.lora_B.weight"] @ parts[f"{inside}.lora_A.weight"]
    for leaf, product, times in (("in_proj_weight", once, 1), ("out_proj.weight", twice, 2)):
        name = f"{attention}.{leaf}"
        assert ratio(after[name], before[name], product) == pytest.approx(times)


def tied_model():
    torch.manual_seed(0)
    config = transformers.LlamaConfig(
        hidden_size=16, intermediate_size=24, num_hidden_layers=1, num_attention_heads=2,
        vocab_size=40, tie_word_embeddings=True,
    )  # fmt: skip
    return transformers.LlamaForCausalLM(config).double()


def product_of(wrapped):
    parts = dict(wrapped.named_parameters())
    a, b = (
        next(t for name, t in parts.items() if f"embed_tokens.lora_embedding_{x}" in name)
        for x in "AB"
    )
    return (b @ a).T.detach().clone()


def test_one_of_two_tied_modules_changes_the_other_when_merged():
    config = peft.LoraConfig(r=4, lora_alpha=4, target_modules=["embed_tokens"])
    model = tied_model()
    wrapped = adapted(model, config)
    tokens = torch.arange(10).unsqueeze(0)
    with torch.no_grad():
        used = wrapped(input_ids=tokens).logits
        merged = wrapped.merge_and_unload()(input_ids=tokens).logits
    assert (used - merged).abs().max() > 1e-2


def test_tied_adapters_are_added_twice():
    config = peft.LoraConfig(
        r=4, lora_alpha=4, target_modules=["embed_tokens"], ensure_weight_tying=True
    )
    model = tied_model()
    before = model.state_dict()[EMBEDDING].clone()
    wrapped = adapted(model, config)
    product = product_of(wrapped)
    after = wrapped.merge_and_unload().state_dict()[EMBEDDING]
    assert ratio(after, before, product) == pytest.approx(2)
