"""Which programs load an adapter form: decided from its keys and its config."""

from __future__ import annotations

import ast
import json
import shlex
from dataclasses import replace

import peft
import pytest
import torch
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family
from ggez_hub.families.family import Layout
from ggez_hub.merging import Adapter
from ggez_hub.merging.deltas import BadAdapter
from ggez_hub.merging.forms import ADAPTER_FORMS, FormBase
from ggez_hub.merging.forms.adapter_facts import facts_of
from ggez_hub.merging.forms.runtimes import answers, as_list, as_markdown, base_lines

from ..families.architectures import GEMMA3, LLAMA_MODEL
from .exactness import write_peft

VLM = get_family("vlm")
TEXT = ["q_proj", "down_proj"]


@pytest.fixture(scope="module")
def gemma():
    return GEMMA3.build


def form_of(folder, build, beta=0.5, **options):
    """A LoRA by PEFT on a tiny model, written as a PEFT form without its base."""
    config = peft.LoraConfig(**{"r": 8, "lora_alpha": 8, "target_modules": TEXT, **options})
    adapter = write_peft(folder / "adapter", config, model=build())
    (folder / "out").mkdir()
    base = FormBase("google/gemma", "a" * 40, VLM, None)
    ADAPTER_FORMS["peft"].write(Adapter(adapter, beta), base, folder / "out")
    return folder / "out"


def asked(folder, form="peft", family="vlm"):
    return answers(facts_of(form, family, "google/gemma", "", folder, "OUT"))


LANGUAGE = r".*language_model.*(q_proj|down_proj)"


def test_a_plain_lora_of_the_language_model(tmp_path, gemma):
    found = asked(form_of(tmp_path, gemma, target_modules=LANGUAGE))
    assert {name: answer.status for name, answer in found.items()} == {
        "PEFT": "yes", "diffusers": "no", "diffusers hot-swap": "no", "vLLM": "yes",
        "ComfyUI": "no", "llama.cpp": "yes",
    }  # fmt: skip
    assert found["vLLM"].lines == (
        "vllm serve google/gemma --enable-lora --lora-modules region=OUT",
    )
    assert found["llama.cpp"].lines[-1] == "llama-cli -m BASE.gguf --lora region.gguf"


@pytest.mark.parametrize(("rank", "flag"), [(16, None), (17, "32"), (65, "128")])
def test_vllm_needs_room_for_the_rank(tmp_path, gemma, rank, flag):
    answer = asked(form_of(tmp_path, gemma, target_modules=LANGUAGE, r=rank))["vLLM"]
    assert answer.status == ("flag" if flag else "yes")
    assert (f"--max-lora-rank {flag} " in answer.lines[0]) == bool(flag)


def test_the_vision_tower(tmp_path, gemma):
    found = asked(form_of(tmp_path, gemma))
    assert found["vLLM"].status == "flag"
    assert "--enable-tower-connector-lora" in found["vLLM"].lines[0]
    assert found["llama.cpp"].status == "no"
    assert "vision_tower" in found["llama.cpp"].reason


def test_rslora(tmp_path, gemma):
    """vLLM reads use_rslora; llama.cpp's converter does not, so its factor has to be given."""
    found = asked(form_of(tmp_path, gemma, target_modules=LANGUAGE, use_rslora=True, r=4))
    assert found["vLLM"].status == "yes"
    assert found["llama.cpp"].status == "flag"
    # alpha / sqrt(4) instead of alpha / 4.
    assert found["llama.cpp"].lines[-1].endswith("--lora-scaled region.gguf:2")


def test_alphas_of_single_modules(tmp_path, gemma):
    found = asked(form_of(tmp_path, gemma, target_modules=LANGUAGE, alpha_pattern={"down_proj": 3}))
    for name in ("vLLM", "llama.cpp"):
        assert found[name].status == "no", name
        assert "alpha" in found[name].reason
    assert found["PEFT"].status == "yes"


def test_ranks_of_single_modules(tmp_path, gemma):
    found = asked(form_of(tmp_path, gemma, target_modules=LANGUAGE, rank_pattern={"down_proj": 2}))
    assert found["vLLM"].status == "no"
    # llama.cpp divides by the rank of each matrix.
    assert found["llama.cpp"].status == "yes"


def test_beta_zero(tmp_path, gemma):
    answer = asked(form_of(tmp_path, gemma, beta=0.0, target_modules=LANGUAGE))["llama.cpp"]
    assert (answer.status, "alpha of 0" in answer.reason) == ("no", True)


def test_whole_parameters_and_lora_biases(tmp_path):
    out = form_of(tmp_path, LLAMA_MODEL.build)
    state = load_file(out / "adapter_model.safetensors")
    save_file(
        {**state, "base_model.model.model.norm.weight": torch.zeros(32)},
        out / "adapter_model.safetensors",
    )
    found = asked(out)
    assert found["vLLM"].status == found["llama.cpp"].status == "no"
    assert "model.norm.weight" in found["vLLM"].reason
    assert found["PEFT"].status == "yes"


def test_other_methods(tmp_path, gemma):
    config = peft.LoHaConfig(r=2, alpha=2, target_modules=LANGUAGE)
    adapter = write_peft(tmp_path / "adapter", config, model=gemma())
    (tmp_path / "out").mkdir()
    ADAPTER_FORMS["peft"].write(Adapter(adapter, 0.5), FormBase("b", None, VLM), tmp_path / "out")
    found = asked(tmp_path / "out")
    assert found["PEFT"].status == "yes"
    assert "LOHA" in found["vLLM"].reason
    assert "LOHA" in found["llama.cpp"].reason


def test_what_is_not_known_is_said_to_be_unknown(tmp_path, gemma):
    out = form_of(tmp_path, gemma, target_modules=LANGUAGE)
    assert asked(out, family="embedding")["vLLM"].status == "unknown"


def lora_file(folder, names, scale=None, rank=4):
    """A LoRA file with a LoraConfig for its scale, or with kohya's alphas."""
    state, metadata = {}, {}
    kohya = names[0].startswith("lora_")
    down, up = ("lora_down", "lora_up") if kohya else ("lora_A", "lora_B")
    for name in names:
        state[f"{name}.{down}.weight"] = torch.ones(rank, 8)
        state[f"{name}.{up}.weight"] = torch.ones(8, rank)
        if kohya:
            state[f"{name}.alpha"] = torch.tensor(2.0)
    if scale is not None:
        component = names[0].partition(".")[0]
        options = {f"{component}.r": rank, f"{component}.lora_alpha": rank * scale}
        metadata = {"lora_adapter_metadata": json.dumps(options)}
    save_file(state, folder / "lora.safetensors", metadata=metadata)
    return folder


UNET = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
FLUX = "transformer.transformer_blocks.0.attn.to_q"


@pytest.mark.parametrize(
    ("form", "names", "scale", "comfy", "swap"),
    [
        ("diffusers", [UNET], 0.5, "no", "flag"),
        ("diffusers", ["unet.mid_block.resnets.0.conv1"], 0.5, "flag", "flag"),
        ("diffusers", [FLUX], 0.5, "flag", "flag"),
        ("diffusers", [FLUX], 1.0, "yes", "flag"),
        ("kohya", ["lora_unet_mid_block_attentions_0_proj_in"], None, "yes", "flag"),
        ("kohya", ["lora_te_text_model_encoder_layers_0_mlp_fc1"], None, "yes", "no"),
    ],
)
def test_lora_files(tmp_path, form, names, scale, comfy, swap):
    found = asked(lora_file(tmp_path, names, scale), form, "diffusion")
    assert (found["ComfyUI"].status, found["diffusers hot-swap"].status) == (comfy, swap)
    assert found["diffusers"].lines[-1] == (
        'pipeline.load_lora_weights("OUT", weight_name="lora.safetensors")'
    )
    assert {found[name].status for name in ("PEFT", "vLLM", "llama.cpp")} == {"no"}
    if comfy == "flag":
        assert "strengths 0.5" in found["ComfyUI"].lines[0]
    if swap == "flag":
        assert "pipeline.enable_lora_hotswap(target_rank=4)" in found["diffusers hot-swap"].lines


def test_json_and_markdown_say_the_same(tmp_path, gemma):
    out = form_of(tmp_path, gemma)
    facts = facts_of("peft", "vlm", "google/gemma", "b" * 40, out, "OUT")
    rows, text = as_list(facts), as_markdown(facts)
    assert json.loads(json.dumps(rows)) == rows
    for row in rows:
        assert f"| {row['runtime']} |" in text
        assert row["status"] in {"yes", "no", "flag", "unknown"}
    assert "--revision " + "b" * 40 in text


def test_lines_can_be_pasted_whatever_the_folder_is_called(tmp_path, gemma):
    folder, place = form_of(tmp_path, gemma, target_modules=LANGUAGE), """a b's "c" \\d"""
    facts = facts_of("peft", "vlm", f"{place}/base", "", folder, place)
    layout = Layout("transformers", ("model.safetensors",), "AutoModelForImageTextToText")
    found = answers(replace(facts, base_lines=base_lines(VLM, layout, f"{place}/base")))
    tree = ast.parse("\n".join(found["PEFT"].lines))
    texts = {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}
    assert {place, f"{place}/base"} <= texts
    serve = shlex.split(found["vLLM"].lines[0])
    assert {f"region={place}", f"{place}/base"} <= set(serve)
    assert place in shlex.split(found["llama.cpp"].lines[0])


def test_the_name_of_a_module_is_no_markup_in_a_card(tmp_path):
    name = "base_model.model.visual.[x](http://x)|y`z"
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 2, "target_modules": ["y"]}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    matrices = {f"{name}.lora_{part}.weight": torch.ones(2, 2) for part in "AB"}
    save_file(matrices, tmp_path / "adapter_model.safetensors")
    table = as_markdown(facts_of("peft", "vlm", "google/gemma", "", tmp_path, "OUT"))
    assert r"visual.\[x\](http://x)\|y\`z" in table
    assert "[x](" not in table


@pytest.mark.parametrize("pattern", [{}, {".*": 4}])
def test_an_alpha_for_all_modules_may_be_missing(tmp_path, gemma, pattern):
    adapter = form_of(tmp_path, gemma, beta=1.0)
    config = json.loads((adapter / "adapter_config.json").read_text())
    del config["lora_alpha"]
    (adapter / "adapter_config.json").write_text(json.dumps(config | {"alpha_pattern": pattern}))
    (out := tmp_path / "again").mkdir()
    ADAPTER_FORMS["peft"].write(Adapter(adapter, 0.5), FormBase("g/g", None, VLM, None), out)
    if not pattern:
        with pytest.raises(BadAdapter, match="not a number"):
            facts_of("peft", "vlm", "g/g", "", out, "OUT")
        return
    assert {lora.scale for lora in facts_of("peft", "vlm", "g/g", "", out, "OUT").loras} == {0.25}
