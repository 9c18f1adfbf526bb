"""Modules are found under the names of any transformers version, or refused by name."""

from __future__ import annotations

import json
import re
import shutil

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.errors import GgezError
from ggez_hub.families import NotOneToOne, TiedWeight, get_family
from ggez_hub.merging import Adapter, WrongBase, merge

from .architectures import (
    GEMMA3_HUB,
    GPT2,
    GROUPED,
    LLAMA,
    LLAMA_MODEL,
    LLAVA,
    LLAVA_HUB,
    MIXTRAL,
    QWEN_VISION,
    targets,
    write_adapter,
    write_base,
)

FAMILY = get_family("vlm")
PREFIX = "base_model.model."


@pytest.fixture(scope="module")
def llava(tmp_path_factory):
    """Bases of LLaVA in both layouts, with an adapter under the names in memory."""
    root = tmp_path_factory.mktemp("llava")
    model = LLAVA.build()
    bases = []
    for architecture in (LLAVA, LLAVA_HUB):
        folder = root / architecture.id
        folder.mkdir()
        bases.append(write_base(folder, architecture, torch.bfloat16))
    modules = [name for name in targets(model) if "embed_tokens" not in name]
    return bases, write_adapter(root / "adapter", model, modules)


def renamed(adapter, folder, *pairs):
    """The adapter under other names."""
    shutil.copytree(adapter, folder)
    path = folder / "adapter_model.safetensors"
    state = {}
    for key, tensor in load_file(path).items():
        name = key.removeprefix(PREFIX)
        for pattern, replacement in pairs:
            name = re.sub(pattern, replacement, name)
        state[PREFIX + name] = tensor
    assert state.keys() != load_file(path).keys()
    save_file(state, path)
    return folder


OLD_NAMES = {
    "4.51": LLAVA_HUB.hub,
    "4.52": ((r"^model\.vision_tower\.", "model.vision_tower.vision_model."),),
}


@pytest.mark.parametrize("version", OLD_NAMES)
def test_adapters_of_older_transformers_give_the_same_bytes(llava, tmp_path, version):
    bases, adapter = llava
    old = renamed(adapter, tmp_path / "old", *OLD_NAMES[version])
    for number, base in enumerate(bases):
        results = []
        for name, folder in (("new", adapter), ("old", old)):
            out = tmp_path / f"{name}{number}"
            report = merge(base, [Adapter(folder, 0.5)], out, FAMILY)
            assert report.touched == len(load_file(adapter / "adapter_model.safetensors")) // 2
            results.append((out / "model.safetensors").read_bytes())
        assert results[0] == results[1] != (base / "model.safetensors").read_bytes()


def test_an_adapter_of_the_bare_model_fits_the_model_with_a_head(tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", LLAMA_MODEL, torch.float16)
    adapter = write_adapter(tmp_path / "adapter", LLAMA_MODEL.build().model, ["q_proj"])
    assert merge(base, [Adapter(adapter, 1.0)], tmp_path / "out", FAMILY).touched == 2


def test_a_module_that_the_base_lacks_is_named(llava, tmp_path):
    (base, _), adapter = llava
    other = renamed(adapter, tmp_path / "other", (r"layers\.1\.", "layers.7."))
    with pytest.raises(WrongBase, match=r"layers\.7\."):
        merge(base, [Adapter(other, 0.5)], tmp_path / "out", FAMILY)
    assert not (tmp_path / "out").exists()


def key_map(folder, config, names):
    (folder / "config.json").write_text(json.dumps(config))
    return FAMILY.key_map(folder, names)


def test_parameters_have_their_tensors_too(tmp_path):
    config = GEMMA3_HUB.config | {"architectures": [GEMMA3_HUB.cls]}
    name = "multi_modal_projector.mm_input_projection_weight"
    find = key_map(tmp_path, config, {name})
    assert find(f"model.{name}") == name
    assert find("model.multi_modal_projector") is None


@pytest.mark.parametrize("module", ["model.language_model.embed_tokens", "lm_head"])
def test_tied_weights_are_refused(tmp_path, module):
    stored = "language_model.model.embed_tokens.weight"
    find = key_map(tmp_path, GEMMA3_HUB.config | {"architectures": [GEMMA3_HUB.cls]}, {stored})
    with pytest.raises(TiedWeight, match=re.escape(module)) as caught:
        find(module)
    assert caught.value.tensor == stored
    assert caught.value.sharing in {
        ("lm_head.weight",),
        ("model.language_model.embed_tokens.weight",),
    }


def test_a_merge_into_a_tied_weight_leaves_nothing(tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", GPT2, torch.float16)
    adapter = write_adapter(tmp_path / "adapter", GPT2.build(), ["wte"])
    with pytest.raises(TiedWeight, match=r"transformer\.wte"):
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", FAMILY)
    assert not list(tmp_path.glob("*out*"))


def test_the_same_embedding_untied_is_merged(tmp_path):
    names = {"model.embed_tokens.weight", "lm_head.weight"}
    assert key_map(tmp_path, LLAMA, names)("lm_head") == "lm_head.weight"
    with pytest.raises(TiedWeight):
        key_map(tmp_path, LLAMA | {"tie_word_embeddings": True}, names)("lm_head")


def test_a_tensor_that_is_split_when_loaded_is_refused(tmp_path):
    config = GROUPED | {"model_type": "hrm_text", "num_key_value_heads": 2}
    layer = "model.L_module.layers.0."
    names = {f"{layer}attn.gqkv_proj.weight", f"{layer}attn.o_proj.weight"}
    find = key_map(tmp_path, config, names)
    assert find(f"{layer}self_attn.o_proj") == f"{layer}attn.o_proj.weight"
    for part in "qkv":
        with pytest.raises(NotOneToOne, match=rf"{part}_proj.*Chunk"):
            find(f"{layer}self_attn.{part}_proj")


def test_two_tensors_for_one_module_are_refused(tmp_path):
    names = {"language_model.model.norm.weight", "model.language_model.norm.weight"}
    config = LLAVA.config | {"architectures": [LLAVA.cls]}
    with pytest.raises(NotOneToOne, match="both"):
        key_map(tmp_path, config, names)("model.language_model.norm")


KIMI = {
    "model_type": "kimi_k25",
    "text_config": GROUPED
    | {
        "model_type": "deepseek_v3", "num_key_value_heads": 2, "n_routed_experts": 2, "n_group": 1,
        "topk_group": 1, "num_experts_per_tok": 1, "moe_intermediate_size": 16, "kv_lora_rank": 8,
        "q_lora_rank": 8, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8, "v_head_dim": 8,
    },
    "vision_config": {
        "model_type": "kimi_k25_vision", "hidden_size": 32, "intermediate_size": 48,
        "num_attention_heads": 2, "num_hidden_layers": 1, "pos_emb_height": 4, "pos_emb_width": 4,
    },
}  # fmt: skip


def test_a_name_with_two_meanings_is_refused(tmp_path):
    # What were fc0 and fc1 are fc1 and fc2: an older adapter's fc1 alone looks like a new one's.
    old, new = "vision_tower.encoder.blocks.0.mlp.fc", "model.vision_tower.layers.0.mlp.fc"
    names = [f"{old}1.weight", f"{old}0.weight"]
    find = key_map(tmp_path, KIMI, names)
    assert find(f"{new}1") == find(f"{old}0") == f"{old}0.weight"
    assert find(f"{new}2") == find(f"{old}1") == f"{old}1.weight"
    with pytest.raises(NotOneToOne, match=r"mlp\.fc1"):
        key_map(tmp_path, KIMI, names)(f"{old}1")


def test_experts_of_an_older_adapter_are_those_of_the_checkpoint(tmp_path):
    """Stored one by one, stacked in memory: PEFT converts the adapter, we need not."""
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", MIXTRAL, torch.float16)
    stored = load_file(base / "model.safetensors")
    experts = [
        name for name in stored if re.search(r"layers\.0\.block_sparse_moe\.experts\.", name)
    ]
    assert len(experts) == 6
    generator = torch.Generator().manual_seed(2)
    state = {}
    for name in experts:
        rows, columns = stored[name].shape
        module = PREFIX + name.removesuffix(".weight")
        state[f"{module}.lora_A.weight"] = torch.randn(2, columns, generator=generator) / 5
        state[f"{module}.lora_B.weight"] = torch.randn(rows, 2, generator=generator) / 5
    adapter = tmp_path / "adapter"
    peft.LoraConfig(r=2, lora_alpha=3, target_modules=["w1", "w2", "w3"]).save_pretrained(adapter)
    save_file(state, adapter / "adapter_model.safetensors")
    report = merge(base, [Adapter(adapter, 1.0)], tmp_path / "out", FAMILY)
    assert report.touched == 6

    model = MIXTRAL.model_class.from_pretrained(base, dtype=torch.float64)
    merged = peft.PeftModel.from_pretrained(model, adapter, autocast_adapter_dtype=False)
    reference = merged.double().merge_and_unload().state_dict()
    out = MIXTRAL.model_class.from_pretrained(tmp_path / "out", dtype=torch.float64).state_dict()
    for name, tensor in reference.items():
        torch.testing.assert_close(out[name], tensor, rtol=2**-10, atol=2**-14)


def test_configs_of_older_transformers(tmp_path):
    # Qwen2-VL on the Hub: what describes the text model stands beside vision_config.
    config = GROUPED | {
        "architectures": ["Qwen2VLForConditionalGeneration"],
        "model_type": "qwen2_vl",
        "rope_scaling": {"type": "mrope", "mrope_section": [2, 3, 3]},
        "vision_config": QWEN_VISION | {"embed_dim": 32, "mlp_ratio": 2},
        "tie_word_embeddings": False,
    }
    names = {
        "model.layers.1.mlp.up_proj.weight",
        "visual.blocks.0.attn.qkv.weight",
        "lm_head.weight",
    }
    find = key_map(tmp_path, config, names)
    for prefixes in (("model.language_model", "model.visual"), ("model", "visual")):
        assert find(f"{prefixes[0]}.layers.1.mlp.up_proj") == "model.layers.1.mlp.up_proj.weight"
        assert find(f"{prefixes[1]}.blocks.0.attn.qkv") == "visual.blocks.0.attn.qkv.weight"
    assert find("lm_head") == "lm_head.weight"


@pytest.mark.parametrize("architectures", [None, [], ["AClassOfItsAuthors"]])
def test_the_class_is_that_of_the_type_where_the_config_names_none(tmp_path, architectures):
    config = LLAVA.config | {"architectures": architectures}
    name = "language_model.model.layers.0.mlp.up_proj.weight"
    find = key_map(tmp_path, config, {name})
    assert find("model.language_model.layers.0.mlp.up_proj") == name


def test_experts_under_a_name_that_is_not_the_stored_one_are_refused(tmp_path):
    stored = "model.layers.0.block_sparse_moe.experts.0.w1"
    find = key_map(tmp_path, MIXTRAL.config, {f"{stored}.weight"})
    assert find(stored) == f"{stored}.weight"
    with pytest.raises(NotOneToOne, match=r"experts\.0\.w1.*MergeModulelist"):
        find(stored.removeprefix("model."))


def test_a_name_in_memory_is_not_renamed_once_more(tmp_path):
    # The loader's fallback: here a renaming of the stored names would match the new ones too.
    config = GROUPED | {"model_type": "deepseek_v4"}
    assert key_map(tmp_path, config, {"model.norm.weight"})("model.norm") == "model.norm.weight"


def test_nothing_is_fetched_or_run_for_the_names(tmp_path):
    kernel = {"attn_implementation": "someone/kernel", "use_kernels": True}
    config = LLAVA.config | kernel | {"text_config": LLAMA | kernel}
    assert key_map(tmp_path, config, {"lm_head.weight"})("lm_head") == "lm_head.weight"
    with pytest.raises(GgezError, match="auto_map"):
        key_map(tmp_path, LLAMA | {"auto_map": {"AutoModel": "modeling.Evil"}}, set())


@pytest.mark.parametrize(
    "config", [{"model_type": "of_next_year"}, LLAMA | {"hidden_size": "wide"}]
)
def test_a_config_that_transformers_cannot_build_is_refused(tmp_path, config):
    with pytest.raises(GgezError, match="cannot build"):
        key_map(tmp_path, config, set())
