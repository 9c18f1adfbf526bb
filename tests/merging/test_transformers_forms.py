"""PEFT on transformers models: Conv1D layers, tied and untied embeddings, tokens."""

from __future__ import annotations

import warnings

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from ggez_hub.families import TiedWeight, get_family
from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge, write_adapter
from ggez_hub.merging.extraction import extract_lora

from .exactness import assert_exact, load_pair, write_peft

VLM = get_family("vlm")
WEIGHTS = "model.safetensors"
SIZES = {
    "gpt2": transformers.GPT2Config(
        n_embd=32, n_layer=2, n_head=2, vocab_size=70, n_positions=20,
        bos_token_id=0, eos_token_id=0,
    ),
    "llama": transformers.LlamaConfig(
        hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, vocab_size=70,
    ),
}  # fmt: skip


def make(name, tied):
    torch.manual_seed(0)
    config = SIZES[name].__class__(**SIZES[name].to_dict() | {"tie_word_embeddings": tied})
    model = transformers.AutoModelForCausalLM.from_config(config)
    for parameter in model.parameters():
        parameter.data.normal_(0, 0.1)
    return model


@pytest.fixture(scope="module")
def language_bases(tmp_path_factory):
    """Folders in bfloat16, as they are published."""
    folders = {}
    for name in SIZES:
        for tied in (True, False):
            folders[name, tied] = tmp_path_factory.mktemp(name)
            make(name, tied).to(torch.bfloat16).save_pretrained(folders[name, tied])
    return folders


def regional(base, adapter):
    """theta_regional by PEFT's own merge in float64, under the base's names."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float64)
    names = load_file(base / WEIGHTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = peft.PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
        state = loaded.double().merge_and_unload().state_dict()
    return {name: state[name] for name in names}


def lora(**options):
    return peft.LoraConfig(**{"r": 4, "lora_alpha": 6, "task_type": "CAUSAL_LM", **options})


CONV1D = ["c_attn", "c_proj", "c_fc"]
FORMS = {
    "Conv1D": ("gpt2", True, lora(target_modules=CONV1D, fan_in_fan_out=True)),
    "square Conv1D alone": ("gpt2", True, lora(target_modules="transformer.h.1.attn.c_proj")),
    "Conv1D and Linear": ("gpt2", False, lora(target_modules=["wte", "lm_head", "c_proj"])),
    "square Conv1D and Linear": (
        "gpt2", False, lora(target_modules=["lm_head", "attn.c_proj"], fan_in_fan_out=True),
    ),
    "Conv1D, DoRA": ("gpt2", True, lora(target_modules=CONV1D, use_dora=True)),
    "embeddings, DoRA": ("gpt2", False, lora(target_modules=["wte", "wpe"], use_dora=True)),
    "biases": ("gpt2", True, lora(target_modules=CONV1D, bias="all")),
    "tied tokens": (
        "llama", True, lora(target_modules="all-linear", trainable_token_indices=[1, 5]),
    ),
    "untied tokens": ("llama", False, lora(target_modules=["q_proj"], trainable_token_indices=[5])),
    "a parameter": (
        "llama", True, lora(target_modules=["q_proj"], target_parameters=["layers.0.mlp.up_proj.weight"]),
    ),
    "tied saved": (
        "llama", True,
        lora(target_modules=["q_proj"], modules_to_save=["embed_tokens"], ensure_weight_tying=True),
    ),
    "untied saved": (
        "llama", False,
        lora(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"]),
    ),
    "embedding saved with its LoRA": ("llama", False, lora(target_modules=["embed_tokens"])),
    "Conv1D, AdaLoRA": (
        "gpt2", True,
        peft.AdaLoraConfig(init_r=3, total_step=9, target_modules=CONV1D, fan_in_fan_out=True),
    ),
    "Conv1D, HiRA": ("gpt2", True, peft.HiraConfig(r=4, target_modules=CONV1D)),
    "Conv1D, IA3": (
        "gpt2", True,
        peft.IA3Config(
            target_modules=CONV1D, feedforward_modules=["c_proj"], fan_in_fan_out=True
        ),
    ),
    "Conv1D, VeRA": ("gpt2", False, peft.VeraConfig(r=5, target_modules=["c_attn", "c_fc"])),
    "all-linear, OFT": (
        "llama", True, peft.OFTConfig(oft_block_size=8, target_modules="all-linear"),
    ),
    "all-linear, UniLoRA": (
        "llama", True, peft.UniLoraConfig(theta_d_length=200, target_modules="all-linear"),
    ),
    "embedding, HiRA": ("llama", False, peft.HiraConfig(r=4, target_modules=["embed_tokens"])),
    "tied tokens of their own": (
        "llama", True,
        peft.TrainableTokensConfig(target_modules=["embed_tokens"], token_indices=[1, 5]),
    ),
    "norms": ("llama", True, peft.LNTuningConfig(target_modules=["input_layernorm"])),
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_equals_peft(form, language_bases, tmp_path):
    name, tied, config = FORMS[form]
    base = language_bases[name, tied]
    adapter = write_peft(tmp_path / "adapter", config, model=make(name, tied).to(torch.bfloat16))
    merge(base, [Adapter(adapter, 0.7)], tmp_path / "out", VLM)
    state, out = load_pair(base, tmp_path / "out", WEIGHTS)
    assert assert_exact(state, out, regional(base, adapter), 0.7)


@pytest.mark.parametrize(
    ("config", "kind", "named"),
    [
        (lora(target_modules=["embed_tokens"]), TiedWeight, "lm_head.weight"),
        # PEFT 0.21.2 merges it twice into the shared weight; its forward adds it once.
        (
            lora(target_modules=["embed_tokens"], ensure_weight_tying=True),
            TiedWeight,
            "shares its weight",
        ),
        (
            lora(target_modules=["q_proj"], modules_to_save=["embed_tokens"]),
            TiedWeight,
            "lm_head.weight",
        ),
        # PEFT's adapters on one of two tied modules change both as well.
        (peft.HiraConfig(target_modules=["embed_tokens"]), TiedWeight, "lm_head.weight"),
        (peft.LilyConfig(target_modules=["q_proj"]), BadAdapter, "LILY"),
        (peft.FrodConfig(target_modules=["q_proj"]), BadAdapter, "FROD"),
        (
            peft.PrefixTuningConfig(num_virtual_tokens=3, task_type="CAUSAL_LM"),
            BadAdapter,
            "PREFIX_TUNING is not merged: its parameters are prompts",
        ),
        (
            lora(target_modules=["q_proj"], alora_invocation_tokens=[1, 2]),
            BadAdapter,
            "alora_invocation_tokens",
        ),
    ],
)
def test_refused_by_name(config, kind, named, language_bases, tmp_path):
    adapter = write_peft(tmp_path / "adapter", config, model=make("llama", True))
    with pytest.raises(kind, match=named):
        merge(language_bases["llama", True], [Adapter(adapter, 0.7)], tmp_path / "out", VLM)
    assert not list(tmp_path.glob("*out*"))


@pytest.mark.parametrize("tied", [True, False])
def test_extraction(tied, language_bases, tmp_path):
    base = language_bases["gpt2", tied]
    model = make("gpt2", tied).to(torch.bfloat16).float()
    torch.manual_seed(1)
    for parameter in model.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    model.save_pretrained(tmp_path / "tuned")
    report = extract_lora(base, tmp_path / "tuned", tmp_path / "lora", VLM, 32)
    left = {tensor.tensor for tensor in report.left_out}
    assert left == ({"transformer.wte.weight"} if tied else set())
    # At full rank everything that is held comes back.
    assert max(e.relative for e in report.extracted) < 2e-6
    merged = regional(base, tmp_path / "lora")
    for name, tensor in load_file(tmp_path / "tuned" / WEIGHTS).items():
        if name not in left:
            torch.testing.assert_close(merged[name].float(), tensor, rtol=0, atol=1e-6)


RESIZED = 77
BOTH = {"target_modules": ["q_proj"], "modules_to_save": ["embed_tokens", "lm_head"]}
TOKENS = {"target_modules": ["q_proj"], "trainable_token_indices": [3, 74]}
# PEFT saves complete embeddings too, under several names, once a vocabulary was resized.
WITH_EMBEDDINGS = {
    "LoRA alone": (False, lora(target_modules=["q_proj"])),
    "saved": (False, lora(**BOTH)),
    "saved, smaller": (False, lora(**BOTH)),
    "saved, tied": (True, lora(**BOTH, ensure_weight_tying=True)),
    "tokens": (False, lora(**TOKENS)),
    "tokens, tied": (True, lora(**TOKENS)),
    "tokens of their own, tied": (
        True, peft.TrainableTokensConfig(target_modules=["embed_tokens"], token_indices=[1, 75]),
    ),
    "LoRA on them": (False, lora(target_modules=["embed_tokens", "lm_head"])),
    "saved, IA3": (
        False,
        peft.IA3Config(
            target_modules=["k_proj"], feedforward_modules=[], modules_to_save=["embed_tokens", "lm_head"]
        ),
    ),
}  # fmt: skip


def write_resized(published, folder, rows=RESIZED, seed=2):
    """A base with another vocabulary, as a training makes it; the model itself."""
    model = transformers.AutoModelForCausalLM.from_pretrained(published)
    torch.manual_seed(seed)
    model.resize_token_embeddings(rows, mean_resizing=False)
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("case", WITH_EMBEDDINGS)
def test_a_resized_vocabulary(case, language_bases, tmp_path):
    """Exact on the base that was resized for the training; the published one lacks rows."""
    tied, config = WITH_EMBEDDINGS[case]
    base, published = tmp_path / "base", language_bases["llama", tied]
    model = write_resized(published, base, 60 if "smaller" in case else RESIZED)
    adapter = write_peft(tmp_path / "adapter", config, model=model)
    saved = load_file(adapter / "adapter_model.safetensors")
    assert any(
        "embed_tokens" in key and len(t) == len(model.lm_head.weight) for key, t in saved.items()
    )
    merge(base, [Adapter(adapter, 0.7)], tmp_path / "out", VLM)
    state, out = load_pair(base, tmp_path / "out", WEIGHTS)
    assert assert_exact(state, out, regional(base, adapter), 0.7)
    with pytest.raises(WrongBase, match=r"for '(model.embed_tokens|lm_head).weight', the base in"):
        merge(published, [Adapter(adapter, 0.7)], tmp_path / "no", VLM)
    if isinstance(config, peft.LoraConfig):
        write_adapter(base, [Adapter(adapter, 0.7)], tmp_path / "form", VLM, "peft")
        folded = regional(base, tmp_path / "form")
        for name, tensor in regional(base, adapter).items():
            expected = state[name].double() + 0.7 * (tensor - state[name].double())
            torch.testing.assert_close(folded[name], expected, rtol=2**-8, atol=1e-6)


def test_tokens_of_another_resized_base(language_bases, tmp_path):
    for seed, name in enumerate(("base", "other")):
        model = write_resized(language_bases["llama", False], tmp_path / name, seed=seed)
    adapter = write_peft(tmp_path / "adapter", lora(**TOKENS), model=model)
    merge(tmp_path / "other", [Adapter(adapter, 0.7)], tmp_path / "out", VLM)
    with pytest.raises(BadAdapter, match="in which tokens were trained, is not"):
        merge(tmp_path / "base", [Adapter(adapter, 0.7)], tmp_path / "no", VLM)


def test_two_values_of_one_saved_parameter(language_bases, tmp_path):
    model = write_resized(language_bases["llama", False], tmp_path / "base")
    adapter = write_peft(tmp_path / "adapter", lora(**BOTH), model=model)
    saved = load_file(adapter / "adapter_model.safetensors")
    key = "base_model.model.lm_head.modules_to_save.weight"
    saved[key] = saved["base_model.model.lm_head.weight"] + 1
    save_file(saved, adapter / "adapter_model.safetensors")
    with pytest.raises(BadAdapter, match="are one parameter and differ"):
        merge(tmp_path / "base", [Adapter(adapter, 0.7)], tmp_path / "no", VLM)
