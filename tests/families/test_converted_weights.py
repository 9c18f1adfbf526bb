"""LoRA on weights that transformers cuts, permutes and stacks while it loads: exact, or refused."""

from __future__ import annotations

import json
import warnings

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.families import detect_family
from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge, write_adapter
from ggez_hub.merging.forms.runtimes import answers

from .architectures import GROUPED, LLAMA_MODEL, ROPE, VISION, Architecture
from .test_architectures import stored as stored_tensors
from .test_architectures import ulp

pytestmark = pytest.mark.slow

BETA = 0.4
TEXT = GROUPED | {"head_dim": 16}
EXPERTS = {
    "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24, "n_group": 1,
    "topk_group": 1, "n_shared_experts": 1, "first_k_dense_replace": 1,
}  # fmt: skip
LATENT = {
    "kv_lora_rank": 8, "q_lora_rank": 8, "qk_rope_head_dim": 8, "v_head_dim": 16,
    "qk_nope_head_dim": 8, "head_dim": 8, "num_key_value_heads": 2,
}  # fmt: skip
SPARSE = {"mlp_layer_types": ["dense", "sparse"]}
STACKS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj"]
QKV = ["q_proj", "k_proj", "v_proj"]


def architecture(kind, cls, **config):
    return Architecture(cls, {"model_type": kind, **config})


# A model, the modules of a LoRA on it, the parameters, and the stored tensors that they are made of.
CASES = {
    "kimi_k25": (
        architecture(
            "kimi_k25", "Kimi_K25ForConditionalGeneration", projection_hidden_size=32,
            text_config=TEXT | EXPERTS | LATENT,
            vision_config=VISION | {"pos_emb_height": 2, "pos_emb_width": 2},
        ),
        [*QKV, "proj", "fc1"], STACKS, {"wqkv.weight": 2, "gate_proj.weight": 4},
    ),
    "qianfan_ocr": (
        architecture(
            "qianfan_ocr", "QianfanOCRForConditionalGeneration", text_config=TEXT,
            vision_config=VISION | {"image_size": [28, 28], "patch_size": [14, 14]},
        ),
        [*QKV, "projection_layer"], [], {"qkv.weight": 2},
    ),
    "unlimited_ocr": (
        architecture(
            "unlimited_ocr", "UnlimitedOcrForConditionalGeneration",
            text_config=TEXT | EXPERTS | SPARSE | {"num_key_value_heads": 2},
            vision_config={
                "encoder_config": VISION,
                "sam_config": VISION | {
                    "output_channels": 8, "mlp_dim": 48, "window_size": 2,
                    "global_attn_indexes": [0], "downsample_channels": [16, 32],
                },
            },
        ),
        # PEFT 0.21.2 loses what an adapter has for the language model when it loads it: it renames
        # `language_model.layers` as if that were a stored name.
        r".*vision_encoder.*[qkv]_proj", [], {"qkv_proj.weight": 2},
    ),
    "step3p7": (
        architecture(
            "step3p7", "Step3p7ForConditionalGeneration",
            text_config=TEXT | SPARSE | {
                "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 24,
                "share_expert_dim": 24, "num_sliding_attention_heads": 2,
                "query_pre_attn_scalar": 16, "layer_types": ["full_attention"] * 2,
            },
            vision_config=VISION | {"mlp_ratio": 1.5, "max_position_embeddings": 4},
        ),
        ["q_proj", "v_proj"], STACKS,
        {"in_proj_weight": 2, "moe.gate_proj.weight": 1, "moe.down_proj.weight": 1},
    ),
    "minimax_m3_vl": (
        architecture(
            "minimax_m3_vl", "MiniMaxM3SparseForConditionalGeneration", projector_hidden_size=32,
            text_config=TEXT | SPARSE | {
                "num_experts_per_tok": 2, "num_local_experts": 4, "dense_intermediate_size": 48,
                "shared_intermediate_size": 24, "intermediate_size": 24, "rotary_dim": 8,
                "index_n_heads": 1, "index_head_dim": 16, "index_block_size": 4,
            },
            vision_config=VISION,
        ),
        [*QKV], STACKS, {"experts.3.w1.weight": 1},
    ),
    "glm4v_moe": (
        architecture(
            "glm4v_moe", "Glm4vMoeForConditionalGeneration",
            text_config=TEXT | EXPERTS | {"rope_parameters": ROPE},
            vision_config=VISION | {
                "depth": 2, "num_heads": 2, "out_hidden_size": 32, "num_hidden_layers": 2,
            },
        ),
        ["q_proj"], STACKS, {"experts.0.up_proj.weight": 1, "experts.3.down_proj.weight": 1},
    ),
    # PEFT makes parameters of these modules, and ranks and alphas of its own for them.
    "glm4v_moe, by modules": (
        architecture(
            "glm4v_moe", "Glm4vMoeForConditionalGeneration",
            text_config=TEXT | EXPERTS | {"rope_parameters": ROPE},
            vision_config=VISION | {
                "depth": 2, "num_heads": 2, "out_hidden_size": 32, "num_hidden_layers": 2,
            },
        ),
        ["q_proj", "gate_proj", "up_proj", "down_proj"], [], {"experts.3.up_proj.weight": 1},
    ),
    "qwen3_moe": (
        architecture(
            "qwen3_moe", "Qwen3MoeForCausalLM", num_experts=4, num_experts_per_tok=2,
            moe_intermediate_size=24, **TEXT,
        ),
        [], STACKS, {"experts.0.up_proj.weight": 2},
    ),
    "gpt_oss, one of two": (
        architecture(
            "gpt_oss", "GptOssForCausalLM", num_local_experts=4, num_experts_per_tok=2, **TEXT
        ),
        ["q_proj"], ["experts.down_proj"], {"experts.down_proj": 2},
    ),
    "llama4_text, transposed": (
        architecture(
            "llama4_text", "Llama4ForCausalLM", num_local_experts=4, intermediate_size_mlp=48, **TEXT
        ),
        [], ["experts.gate_up_proj", "experts.down_proj"], {"experts.gate_up_proj": 2},
    ),
}  # fmt: skip


# PEFT has no DoRA of parameters.
for name, fused in (("kimi_k25", "wqkv.weight"), ("qianfan_ocr", "qkv.weight")):
    CASES[f"{name}, DoRA"] = (*CASES[name][:2], [], {fused: 2})


def load(folder, kind, dtype=torch.float64):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind.from_pretrained(folder, dtype=dtype)


def write_adapter_of_peft(folder, model, **options):
    torch.manual_seed(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=3, **options))
        for name, parameter in wrapped.named_parameters():
            if "lora_" in name:
                parameter.data.normal_(0, 0.3)
        wrapped.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture(scope="module", params=CASES)
def case(request, tmp_path_factory):
    made, modules, parameters, stored = CASES[request.param]
    folder = tmp_path_factory.mktemp("case")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.build().half().save_pretrained(folder / "base")
    options = {
        "target_modules": modules,
        "use_dora": request.param.endswith("DoRA"),
        **({"target_parameters": parameters} if parameters else {}),
    }
    adapter = write_adapter_of_peft(
        folder / "adapter", load(folder / "base", made.model_class, torch.float32), **options
    )
    return made.model_class, folder / "base", adapter, stored


def test_within_one_ulp_of_peft_in_float64(case, tmp_path):
    kind, folder, adapter, stored = case
    family = detect_family(folder)
    merge(folder, [Adapter(adapter, BETA)], tmp_path / "out", family)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.PeftModel.from_pretrained(
            load(folder, kind), adapter, autocast_adapter_dtype=False
        )
    regional = wrapped.double().merge_and_unload().state_dict()
    base, out = (load(place, kind).state_dict() for place in (folder, tmp_path / "out"))
    changed = 0
    for name, w in base.items():
        delta = BETA * (regional[name] - w)
        if not delta.any():
            assert torch.equal(out[name], w), name
            continue
        changed += 1
        reference = w + delta
        largest = torch.stack([w.abs(), delta.abs(), reference.abs()]).max(0).values
        assert ((out[name] - reference).abs() <= ulp(largest, torch.float16)).all(), name
        assert not torch.equal(out[name], w), name
    assert changed
    before, after = (stored_tensors(place, family) for place in (folder, tmp_path / "out"))
    for end, count in stored.items():
        own = [name for name in before if name.endswith(end)]
        assert sum(not torch.equal(before[name], after[name]) for name in own) >= count, end


def test_beta_zero_is_the_base(case, tmp_path):
    _, folder, adapter, _ = case
    merge(folder, [Adapter(adapter, 0.0)], tmp_path / "out", detect_family(folder))
    for path in folder.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()


@pytest.fixture(scope="module")
def qianfan(tmp_path_factory):
    made = CASES["qianfan_ocr"][0]
    folder = tmp_path_factory.mktemp("qianfan")
    made.build().half().save_pretrained(folder / "base")
    return made.model_class, folder / "base"


@pytest.mark.parametrize(
    ("options", "message", "error"),
    [
        ({"lora_bias": True}, "it has lora_B.bias, too", "BadAdapter"),
        ({"init_lora_weights": "olora"}, "has no tensor of its own in the base", "NotOneToOne"),
    ],
)
def test_what_is_more_than_a_lora_is_refused(options, message, error, qianfan, tmp_path):
    kind, folder = qianfan
    model = load(folder, kind, torch.float32)
    adapter = write_adapter_of_peft(tmp_path / "a", model, target_modules=QKV, **options)
    with pytest.raises(Exception, match=message) as caught:
        merge(folder, [Adapter(adapter, 1.0)], tmp_path / "out", detect_family(folder))
    assert type(caught.value).__name__ == error
    assert not (tmp_path / "out").exists()


def test_magnitudes_on_rows_have_to_be_declared_and_complete(qianfan, tmp_path):
    kind, folder = qianfan
    model, family = load(folder, kind, torch.float32), detect_family(folder)
    adapter = write_adapter_of_peft(tmp_path / "a", model, target_modules=QKV, use_dora=True)
    weights, config = adapter / "adapter_model.safetensors", adapter / "adapter_config.json"
    tensors, declared = load_file(weights), config.read_text()
    config.write_text(json.dumps(json.loads(declared) | {"use_dora": False}))
    with pytest.raises(BadAdapter, match="has a magnitude vector"):
        merge(folder, [Adapter(adapter, 1.0)], tmp_path / "out", family)
    config.write_text(declared)
    cut = {n: t[1:].clone() if "q_proj.lora_magnitude" in n else t for n, t in tensors.items()}
    save_file(cut, weights)
    with pytest.raises(BadAdapter, match=r"q_proj.lora_magnitude_vector.* is \(31,\) for 32 rows"):
        merge(folder, [Adapter(adapter, 1.0)], tmp_path / "out", family)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"target_parameters": ["mlp.experts.gate_up_proj"]}, "are not for 4 x 48 x 32"),
        ({"target_parameters": "mlp"}, "names no parameters"),
        ({"r": 3}, "rank 2"),
    ],
)
def test_a_config_that_does_not_fit_its_file(change, named, tmp_path):
    made = CASES["qwen3_moe"][0]
    made.build().half().save_pretrained(tmp_path / "base")
    model = load(tmp_path / "base", made.model_class, torch.float32)
    adapter = write_adapter_of_peft(
        tmp_path / "a", model, target_modules=[], target_parameters=STACKS
    )
    path = adapter / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(BadAdapter, match=named):
        merge(
            tmp_path / "base",
            [Adapter(adapter, 1.0)],
            tmp_path / "out",
            detect_family(tmp_path / "base"),
        )


def test_stacked_experts_with_beta_folded_in(tmp_path):
    made = CASES["qwen3_moe"][0]
    base = tmp_path / "base"
    made.build().half().save_pretrained(base)
    model = load(base, made.model_class, torch.float32)
    adapter = write_adapter_of_peft(
        tmp_path / "a", model, target_modules=[], target_parameters=STACKS
    )
    family = detect_family(base)
    facts = write_adapter(base, [Adapter(adapter, BETA)], tmp_path / "out", family, "peft")
    found = {program: answer.status for program, answer in answers(facts).items()}
    assert (found["PEFT"], found["vLLM"], found["llama.cpp"]) == ("yes", "unknown", "unknown")
    merged = [
        peft.PeftModel.from_pretrained(
            load(base, made.model_class), folder, autocast_adapter_dtype=False
        ).merge_and_unload().state_dict()
        for folder in (adapter, tmp_path / "out")
    ]  # fmt: skip
    for name, w in load(base, made.model_class).state_dict().items():
        expected = w + BETA * (merged[0][name] - w)
        torch.testing.assert_close(merged[1][name], expected, rtol=0, atol=1e-12)
    only_one = {"model.layers.0.mlp.experts.0.up_proj.weight": 0.1}
    with pytest.raises(BadAdapter, match="one alpha scales a stack of experts"):
        write_adapter(base, [Adapter(adapter, BETA, only_one)], tmp_path / "two", family, "peft")


@pytest.mark.parametrize("options", [{"modules_to_save": ["embed_tokens", "lm_head"]}, {}])
def test_a_larger_vocabulary_needs_a_base_that_has_it(options, tmp_path):
    """Saved rows that the base does not have, and a LoRA on an embedding of them."""
    model = LLAMA_MODEL.build()
    model.save_pretrained(tmp_path / "base")
    torch.manual_seed(0)
    model.resize_token_embeddings(70, mean_resizing=False)
    model.save_pretrained(tmp_path / "resized")
    targets = ["q_proj"] if options else ["embed_tokens"]
    adapter = write_adapter_of_peft(tmp_path / "a", model, target_modules=targets, **options)
    family = detect_family(tmp_path / "base")
    with pytest.raises(WrongBase, match="6 rows more") as caught:
        merge(tmp_path / "base", [Adapter(adapter, 0.5)], tmp_path / "out", family)
    assert "resize_token_embeddings" in caught.value.hint
    merge(tmp_path / "resized", [Adapter(adapter, 0.5)], tmp_path / "out", family)
    before, after = (stored_tensors(tmp_path / f, family) for f in ("resized", "out"))
    assert any(not torch.equal(before[name], after[name]) for name in before)
