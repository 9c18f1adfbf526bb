"""LoRA files that cannot be merged whole are refused with a reason, by name."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge
from ggez_hub.safetensors_header import BadWeights

from ..models import write_open_clip
from .loras import FAMILY, weights, write_named

KOHYA = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
TARGET = "unet/mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
PEFT = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"


def refusal(base, adapter, out, kind, family=FAMILY):
    with pytest.raises(kind) as caught:
        merge(base, [Adapter(adapter, 0.5)], out, family)
    assert not out.exists()
    assert not list(out.parent.glob(".out*"))
    return caught.value.message


@pytest.fixture
def adapter(bases, tmp_path):
    """A kohya LoRA of one module."""
    path = tmp_path / "adapter" / "one.safetensors"
    return write_named(bases["sd15"], path, {KOHYA: TARGET}, alpha=lambda _: 2)


def add(path, *, metadata=None, **tensors):
    save_file({**load_file(path), **tensors}, path, metadata=metadata)


def pair(name, a=".lora_down.weight", b=".lora_up.weight", shape=(32, 32)):
    return {name + a: torch.ones(4, shape[1]), name + b: torch.ones(shape[0], 4)}


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (f"{PEFT}.lora_magnitude_vector", "mixes the styles"),
        (f"{KOHYA}.hada_w1_a", "LoRA and LoHa at once"),
        (f"{KOHYA}.lokr_w1", "LoRA and LoKr at once"),
        (f"{KOHYA}.diff", "LoRA and difference at once"),
        ("lora_unet_conv_in.dora_scale", "has only"),
        (f"{KOHYA}.oft_blocks", "OFT"),
        (f"{KOHYA}.on_input", "LoRA and IA3 at once"),
        (f"{KOHYA}.a1.weight", "LoRA and GLoRA at once"),
        (f"{PEFT}.lora_B.bias", "mixes the styles"),
        ("text_encoder.embeddings.token_embedding.lora_embedding_A", "mixes the styles"),
        ("bundle_emb.thai.string_to_param.*", "textual inversion"),
        ("emphasis", "not a key of a LoRA"),
        (f"{PEFT}.lora_A.default.weight", "mixes the styles"),
        (f"{PEFT}.lora_A.other.weight", "not a key of a LoRA"),
        ("lora_unet_conv_in.alpha", "has only"),
        ("lora_unet_conv_in.lora_down.weight", "has only"),
    ],
)
def test_keys_of_other_arithmetic(bases, adapter, tmp_path, key, named):
    add(adapter, **{key: torch.ones(4, 4)})
    message = refusal(bases["sd15"], adapter, tmp_path / "out", BadAdapter)
    assert named in message
    assert key in message


@pytest.mark.parametrize(
    ("key", "named"),
    [
        (f"{KOHYA}.oft_blocks", "OFT"),
        (f"{KOHYA}.dora_scale", "holds no LoRA matrices"),
        (f"{PEFT}.lora_magnitude_vector", "has only"),
        (f"{PEFT}.lora_B.bias", "has only"),
    ],
)
def test_files_of_one_key(bases, tmp_path, key, named):
    save_file({key: torch.ones(4, 4)}, tmp_path / "a.safetensors")
    assert named in refusal(bases["sd15"], tmp_path / "a.safetensors", tmp_path / "out", BadAdapter)


@pytest.mark.parametrize(
    "others",
    [
        pair(PEFT, ".lora_A.weight", ".lora_B.weight"),
        pair(PEFT, ".lora.down.weight", ".lora.up.weight"),
    ],
)
def test_mixed_styles(bases, adapter, tmp_path, others):
    add(adapter, **others)
    message = refusal(bases["sd15"], adapter, tmp_path / "out", BadAdapter)
    assert "mixes the styles" in message
    assert KOHYA in message
    assert PEFT in message


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("lora_unet_mid_block_attentions_7_proj_in", WrongBase),
        ("lora_te2_text_model_encoder_layers_0_mlp_fc1", WrongBase),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_q", BadAdapter),
        ("diffusion_model.input_blocks.77.1.proj_in", WrongBase),
    ],
)
def test_modules_that_no_one_knows(bases, adapter, tmp_path, name, kind):
    add(adapter, **pair(name), **{f"{name}.alpha": torch.tensor(1.0)})
    assert name in refusal(bases["sd15"], adapter, tmp_path / "out", kind)


def test_a_style_that_diffusers_does_not_read(bases, tmp_path):
    name = "lora_unet_joint_blocks_0_x_block_attn_proj"
    save_file(pair(name), tmp_path / "a.safetensors")
    message = refusal(bases["sd3"], tmp_path / "a.safetensors", tmp_path / "out", BadAdapter)
    assert name in message
    assert "StableDiffusion3Pipeline" in message


def test_two_names_of_one_tensor(bases, tmp_path):
    path = tmp_path / "a.safetensors"
    sgm = KOHYA.replace("mid_block_attentions_0", "middle_block_1")
    write_named(bases["sdxl"], path, {KOHYA: TARGET, sgm: TARGET}, alpha=lambda _: 1)
    assert TARGET in refusal(bases["sdxl"], path, tmp_path / "out", BadAdapter)


def test_alpha_for_some_modules_only(bases, adapter, tmp_path):
    add(adapter, **pair("lora_unet_mid_block_attentions_0_proj_in"))
    message = refusal(bases["sd15"], adapter, tmp_path / "out", BadAdapter)
    assert "lora_unet_mid_block_attentions_0_proj_in" in message


@pytest.mark.parametrize("alpha", [torch.tensor(float("nan")), torch.ones(3)])
def test_alpha_that_is_no_number(bases, adapter, tmp_path, alpha):
    add(adapter, **{f"{KOHYA}.alpha": alpha})
    assert "alpha" in refusal(bases["sd15"], adapter, tmp_path / "out", BadAdapter)


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"unet.r": 4, "unet.lora_alpha": 4, "unet.use_dora": True}, "no magnitude"),
        ({"unet.r": 4, "unet.lora_alpha": 4, "unet.lora_bias": True}, "no bias"),
        ({"unet.r": 4, "unet.lora_alpha": 4, "unet.bias": "all"}, "bias = 'all'"),
        ({"unet.peft_type": "LOHA", "unet.r": 4}, "LOHA"),
        ({"unet.r": 5, "unet.lora_alpha": 4}, "rank 4"),
        ({"unet.r": 4, "unet.lora_alpha": 4, "unet.init_lora_weights": "pissa"}, "pissa"),
        (
            {"text_encoder.r": 4, "text_encoder.lora_alpha": 4},
            f"no LoraConfig for the module '{PEFT}'",
        ),
        ({"r": 4, "lora_alpha": 4}, f"no LoraConfig for the module '{PEFT}'"),
        ("r = 4", "lora_adapter_metadata"),
        ([4], "lora_adapter_metadata"),
    ],
)
def test_configurations_in_the_metadata(bases, tmp_path, config, named):
    path = tmp_path / "a.safetensors"
    metadata = {"lora_adapter_metadata": config if isinstance(config, str) else json.dumps(config)}
    save_file(pair(PEFT, ".lora_A.weight", ".lora_B.weight"), path, metadata=metadata)
    assert named in refusal(bases["sd15"], path, tmp_path / "out", BadAdapter)


def test_dora_for_some_modules_only(bases, tmp_path):
    other = PEFT.replace("to_q", "to_k")
    state = pair(PEFT, ".lora_A.weight", ".lora_B.weight")
    state |= pair(other, ".lora_A.weight", ".lora_B.weight")
    save_file(
        {**state, f"{PEFT}.lora_magnitude_vector": torch.ones(32)}, tmp_path / "a.safetensors"
    )
    message = refusal(bases["sd15"], tmp_path / "a.safetensors", tmp_path / "out", BadAdapter)
    assert PEFT in message
    assert other in message


def test_scales_given_twice(bases, adapter, tmp_path):
    add(adapter, metadata={"lora_adapter_metadata": json.dumps({"unet.r": 4})})
    assert "twice" in refusal(bases["sd15"], adapter, tmp_path / "out", BadAdapter)


def test_other_shape(bases, tmp_path):
    save_file(pair(KOHYA, shape=(32, 48)), tmp_path / "a.safetensors")
    message = refusal(bases["sd15"], tmp_path / "a.safetensors", tmp_path / "out", WrongBase)
    assert TARGET in message
    assert "(32, 48)" in message


def test_other_shape_of_fused_attention(bases, tmp_path):
    name = "lora_unet_double_blocks_0_img_attn_qkv"
    save_file(pair(name, shape=(90, 32)), tmp_path / "a.safetensors")
    message = refusal(bases["flux"], tmp_path / "a.safetensors", tmp_path / "out", WrongBase)
    assert "(30, 32)" in message


def test_quantised_base(bases, adapter, tmp_path):
    base = tmp_path / "base"
    shutil.copytree(bases["sd15"], base)
    path = base / "unet" / "diffusion_pytorch_model.safetensors"
    save_file({name: t.to(torch.int8) for name, t in load_file(path).items()}, path)
    assert "quantised" in refusal(base, adapter, tmp_path / "out", WrongBase)


def test_folders_with_several_files(bases, adapter, tmp_path):
    shutil.copy(adapter, adapter.with_name("two.safetensors"))
    message = refusal(bases["sd15"], adapter.parent, tmp_path / "out", BadAdapter)
    assert "one.safetensors, two.safetensors" in message


def test_pickles_are_never_read(bases, tmp_path):
    (tmp_path / "lora.bin").write_bytes(b"never read")
    message = refusal(bases["sd15"], tmp_path / "lora.bin", tmp_path / "out", BadAdapter)
    assert "never loaded" in message


def test_truncated_file(bases, adapter, tmp_path):
    adapter.write_bytes(adapter.read_bytes()[:-10])
    refusal(bases["sd15"], adapter, tmp_path / "out", BadWeights)


def test_base_of_another_family(adapter, tmp_path):
    (tmp_path / "clip").mkdir()
    base = write_open_clip(tmp_path / "clip", torch.float16)
    embedding = get_family("embedding")
    assert "pipeline" in refusal(base, adapter, tmp_path / "out", BadAdapter, embedding)


def test_command_line_takes_a_file(bases, adapter, tmp_path):
    arguments = ["merge", "--base", str(bases["sd15"]), "--beta", "0.5"]
    outputs = []
    for source in (adapter, adapter.parent):
        outputs.append(tmp_path / f"out{len(outputs)}")
        result = CliRunner().invoke(
            cli, [*arguments, "--adapter", str(source), "-o", str(outputs[-1])]
        )
        assert result.exit_code == 0, result.output
        assert "1 of them changed" in result.output
        assert "torch_dtype=torch.float32" in result.output
    file, folder = (weights(out)[TARGET] for out in outputs)
    assert torch.equal(file, folder)


@pytest.mark.parametrize(
    ("found", "shape", "said"),
    [
        (1, (32, 32), "By their names the base has 1 of the 2 modules of this file, and it has tensors"),
        (1, (48, 40), "The base has 1 of the 2 modules of this file, and not the others: it is of another"),
        (0, (48, 40), "The base has no module of this file: the LoRA was trained on another model."),
        (0, (96, 32), "By their names the base has 0 of the 1 module of this file, and it has tensors"),
    ],
)  # fmt: skip
def test_a_file_of_another_model_is_told_from_names_that_diffusers_does_not_read(
    bases, tmp_path, found, shape, said
):
    state = pair(PEFT, ".lora_A.weight", ".lora_B.weight") if found else {}
    unknown = "unet.mid_block.attentions.7.transformer_blocks.0.attn1.qkv"
    save_file(
        state | pair(unknown, ".lora_A.weight", ".lora_B.weight", shape),
        path := tmp_path / "a.safetensors",
    )
    with pytest.raises(WrongBase) as caught:
        merge(bases["sd15"], [Adapter(path, 0.5)], tmp_path / "out", FAMILY)
    assert "attentions.7" in caught.value.message
    assert caught.value.hint.startswith(said)


def test_how_much_of_a_file_diffusers_reads_is_said(bases, tmp_path):
    state = {}
    for name in ("lora_unet_double_blocks_0_img_attn_proj", "lora_unet_nothing_known"):
        state |= pair(name) | {f"{name}.alpha": torch.tensor(4.0)}
    path = tmp_path / "a.safetensors"
    save_file(state, path)
    with pytest.raises(BadAdapter) as caught:
        merge(bases["flux"], [Adapter(path, 0.5)], tmp_path / "out", FAMILY)
    assert "'lora_unet_nothing_known'" in caught.value.message
    assert "1 of the 2 modules" in caught.value.hint
