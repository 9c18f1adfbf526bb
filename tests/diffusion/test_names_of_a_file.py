"""Files of whose names diffusers knows the meaning only together, or in another way of writing."""

from __future__ import annotations

import json
import re

import diffusers
import pytest
import torch
from diffusers import HunyuanVideoTransformer3DModel, ZImageTransformer2DModel
from safetensors.torch import load_file, save_file

from ggez_hub.merging import Adapter, BadAdapter, WrongBase, merge
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex

from ..merging.exactness import assert_exact
from .loras import FAMILY
from .test_other_pipelines import WEIGHTS, wan
from .test_real_sizes import write_model

pytestmark = pytest.mark.slow


def hunyuan(**options):
    return HunyuanVideoTransformer3DModel(
        in_channels=4, out_channels=4, num_attention_heads=2, attention_head_dim=12, num_layers=2,
        num_single_layers=1, num_refiner_layers=1, patch_size=1, patch_size_t=1, text_embed_dim=16,
        pooled_projection_dim=8, rope_axes_dim=(4, 4, 4), **options,
    )  # fmt: skip


def z_image():
    return ZImageTransformer2DModel(
        all_patch_size=(2,), all_f_patch_size=(1,), in_channels=4, dim=32, n_layers=2,
        n_refiner_layers=1, n_heads=2, n_kv_heads=2, cap_feat_dim=16, axes_dims=[4, 6, 6],
        axes_lens=[32, 32, 32],
    )  # fmt: skip


MAKERS = {"WanPipeline": wan, "HunyuanVideoPipeline": hunyuan, "ZImagePipeline": z_image}


@pytest.fixture(scope="module")
def pipelines(tmp_path_factory):
    folders = {}
    for name, make in MAKERS.items():
        folders[name] = folder = tmp_path_factory.mktemp(name)
        torch.manual_seed(0)
        model = make().half()
        model.save_pretrained(folder / "transformer")
        index = {"_class_name": name, "transformer": ["diffusers", type(model).__name__]}
        (folder / "model_index.json").write_text(json.dumps(index))
    return folders


ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}
WAN_BLOCKS = {
    f"blocks.{i}.{theirs}": f"blocks.{i}.{ours}"
    for i in range(2)
    for theirs, ours in (
        *((f"self_attn.{o}", f"attn1.{c}") for o, c in ATTENTION.items()),
        *((f"cross_attn.{o}", f"attn2.{c}") for o, c in ATTENTION.items()),
        ("ffn.0", "ffn.net.0.proj"),
        ("ffn.2", "ffn.net.2"),
    )
}
WAN = WAN_BLOCKS | {
    "head.head": "proj_out",
    "time_projection.1": "condition_embedder.time_proj",
    **{f"time_embedding.{n}": f"condition_embedder.time_embedder.linear_{m}" for n, m in ((0, 1), (2, 2))},
    **{f"text_embedding.{n}": f"condition_embedder.text_embedder.linear_{m}" for n, m in ((0, 1), (2, 2))},
}  # fmt: skip
HUNYUAN = {
    **{
        f"double_blocks.{i}.{theirs}": [f"transformer_blocks.{i}.{one}" for one in ours]
        for i in range(2)
        for theirs, ours in (
            ("img_attn_qkv", [f"attn.to_{x}" for x in "qkv"]),
            ("txt_attn_qkv", [f"attn.add_{x}_proj" for x in "qkv"]),
            ("img_attn_proj", ["attn.to_out.0"]),
            ("img_mlp.fc1", ["ff.net.0.proj"]),
            ("txt_mlp.fc2", ["ff_context.net.2"]),
        )
    },
    "single_blocks.0.linear2": ["single_transformer_blocks.0.proj_out"],
    "single_blocks.0.modulation.linear": ["single_transformer_blocks.0.norm.linear"],
    "vector_in.in_layer": ["time_text_embed.text_embedder.linear_1"],
}
Z_IMAGE = {
    **{
        f"layers.{i}.{theirs}": [f"layers.{i}.{one}" for one in ours]
        for i in range(2)
        for theirs, ours in (
            ("attention.qkv", [f"attention.to_{x}" for x in "qkv"]),
            ("attention.out", ["attention.to_out.0"]),
            ("feed_forward.w2", ["feed_forward.w2"]),
            ("adaLN_modulation.0", ["adaLN_modulation.0"]),
        )
    }
}
KOHYA, PEFT = ("lora_down", "lora_up"), ("lora_A", "lora_B")
DIFFSYNTH = ("lora_A.default", "lora_B.default")


def flat(path):
    return f"lora_unet_{path.replace('.', '_')}"


def write(path, base, names, spelled, ends, alpha=None, rank=4):
    """A file whose modules change all of the tensors in `names`; its state, and what they become."""
    torch.manual_seed(1)
    stored, state, regional = load_file(base / WEIGHTS), {}, {}
    for module, named in names.items():
        targets = [named] if isinstance(named, str) else named
        shapes = [stored[f"{target}.weight"].shape for target in targets]
        a = torch.randn(rank, shapes[0][1]) * 0.3
        b = torch.randn(sum(out for out, _ in shapes), rank) * 0.3
        state |= {
            f"{spelled(module)}.{ends[0]}.weight": a,
            f"{spelled(module)}.{ends[1]}.weight": b,
        }
        if alpha is not None:
            state[f"{spelled(module)}.alpha"] = torch.tensor(alpha)
        delta = (1.0 if alpha is None else alpha / rank) * (b.double() @ a.double())
        for target, part in zip(targets, delta.split([out for out, _ in shapes]), strict=True):
            regional[f"{target}.weight"] = stored[f"{target}.weight"].double() + part
    save_file(state, path)
    return state, {k: regional.get(k, t.double()) for k, t in stored.items()}, set(regional)


def by_diffusers(base, name, state):
    """theta_regional by diffusers' own loader and fuse_lora, on a float64 copy."""
    model, pipeline = MAKERS[name](), getattr(diffusers, name)
    stored = load_file(base / WEIGHTS)
    model.load_state_dict({key: tensor.float() for key, tensor in stored.items()})
    pipeline.load_lora_into_transformer(
        pipeline.lora_state_dict(dict(state)), transformer=model, adapter_name="a"
    )
    model.double().fuse_lora()
    fused = {k.replace(".base_layer", ""): t for k, t in model.state_dict().items()}
    return {key: fused[key] for key in stored}


@pytest.mark.parametrize(
    ("name", "names", "spelled", "ends", "alpha"),
    [
        ("WanPipeline", WAN_BLOCKS, flat, KOHYA, 2.0),
        ("WanPipeline", WAN, "diffusion_model.{}".format, PEFT, None),
        ("HunyuanVideoPipeline", HUNYUAN, "transformer.{}".format, PEFT, None),
        ("HunyuanVideoPipeline", HUNYUAN, "diffusion_model.{}".format, PEFT, None),
    ],
    ids=["Wan, musubi", "Wan, all modules", "HunyuanVideo", "HunyuanVideo, another prefix"],
)
def test_modules_that_mean_something_together(
    pipelines, tmp_path, name, names, spelled, ends, alpha
):
    base = pipelines[name]
    state, regional, touched = write(tmp_path / "a.safetensors", base, names, spelled, ends, alpha)
    reference = by_diffusers(base, name, state)
    assert all(torch.allclose(reference[k], regional[k], rtol=0, atol=1e-6) for k in regional)
    merge(base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert assert_exact(before, after, regional, 0.5) == touched


@pytest.mark.parametrize(
    ("name", "names", "spelled", "ends"),
    [
        ("ZImagePipeline", Z_IMAGE, "diffusion_model.{}".format, PEFT),
        ("ZImagePipeline", Z_IMAGE, "diffusion_model.{}".format, KOHYA),
        ("ZImagePipeline", Z_IMAGE, flat, KOHYA),
        ("HunyuanVideoPipeline", HUNYUAN, "diffusion_model.{}".format, KOHYA),
        ("WanPipeline", WAN_BLOCKS, "diffusion_model.{}".format, KOHYA),
        ("WanPipeline", WAN_BLOCKS, "base_model.model.{}".format, PEFT),
        ("WanPipeline", WAN, "{}".format, DIFFSYNTH),
    ],
    ids=[
        "Z-Image",
        "Z-Image, lora_down",
        "Z-Image, kohya",
        "HunyuanVideo, lora_down",
        "Wan",
        "Wan, PEFT's prefix",
        "Wan, DiffSynth",
    ],
)
def test_modules_that_diffusers_knows_by_other_keys(
    pipelines, tmp_path, name, names, spelled, ends
):
    """The same names with the keys of another program are the same modules."""
    base = pipelines[name]
    _, regional, touched = write(tmp_path / "a.safetensors", base, names, spelled, ends)
    merge(base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert assert_exact(before, after, regional, 0.5) == touched


def test_fused_input_of_a_single_block_of_hunyuan_video(tmp_path):
    """diffusers knows its parts by the width of the real model: headers, no bytes."""
    with torch.device("meta"):
        model = hunyuan().to(torch.float16)
        model.single_transformer_blocks[0] = type(model.single_transformer_blocks[0])(
            24, 128, mlp_ratio=4.0
        )
    write_model(tmp_path, "HunyuanVideoPipeline", "transformer", model, {})
    names = {"double_blocks.0.img_attn_qkv": (72, 24), "single_blocks.0.linear1": (21504, 3072)}
    state = {}
    for module, (out, into) in names.items():
        state[f"{module}.lora_A.weight"] = torch.zeros(1, into, dtype=torch.float16)
        state[f"{module}.lora_B.weight"] = torch.ones(out, 1, dtype=torch.float16)
    save_file(state, tmp_path / "a.safetensors")
    base = WeightIndex(tmp_path, FAMILY.layout(tmp_path).weights)
    block = "transformer/single_transformer_blocks.0"
    found = open_delta(tmp_path / "a.safetensors", FAMILY, base).touched
    parts = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    assert found >= {f"{block}.{part}.weight" for part in parts}


@pytest.mark.parametrize(
    "kept", [r".*attn.*", r"blocks\.1\..*", r"blocks\.1\.ffn\.2", r"(?!blocks\.0\.self_attn\.q).*"]
)
def test_blocks_that_are_not_complete(pipelines, tmp_path, kept):
    """diffusers reads musubi's names in complete blocks only; each name means the same without."""
    base = pipelines["WanPipeline"]
    names = {k: v for k, v in WAN_BLOCKS.items() if re.fullmatch(kept, k)}
    _, regional, touched = write(tmp_path / "a.safetensors", base, names, flat, KOHYA, 2.0)
    merge(base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert assert_exact(before, after, regional, 0.5) == touched


@pytest.mark.parametrize("value", [0.0, 0.1])
def test_differences_of_norms_that_diffusers_drops(pipelines, tmp_path, value):
    """Zeros in distilled files change nothing; of others the name is not known."""
    base, path = pipelines["WanPipeline"], tmp_path / "a.safetensors"
    spelled = "diffusion_model.{}".format
    state, regional, touched = write(path, base, WAN, spelled, KOHYA, 2.0)
    norms = {
        f"diffusion_model.blocks.{n}.{name}": torch.full((24,), value)
        for n, name in enumerate(("self_attn.norm_q.diff", "norm3.diff_b"))
    }
    save_file(state | norms, path)
    if value:
        with pytest.raises(BadAdapter, match="norm") as caught:
            merge(base, [Adapter(path, 0.5)], tmp_path / "out", FAMILY)
        assert "diffusers reads these names in part" in caught.value.hint
        return
    merge(base, [Adapter(path, 0.5)], tmp_path / "out", FAMILY)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert assert_exact(before, after, regional, 0.5) == touched


def test_a_block_that_the_base_does_not_have(pipelines, tmp_path):
    base = pipelines["WanPipeline"]
    state, _, _ = write(tmp_path / "a.safetensors", base, WAN_BLOCKS, flat, KOHYA, 2.0)
    other = {k.replace("blocks_1", "blocks_2"): t.clone() for k, t in state.items()}
    save_file(state | other, tmp_path / "a.safetensors")
    with pytest.raises(WrongBase, match=r"blocks\.2\.") as caught:
        merge(base, [Adapter(tmp_path / "a.safetensors", 0.5)], tmp_path / "out", FAMILY)
    assert "has 20 of the 30 modules of this file, and not the others" in caught.value.hint
    assert not list(tmp_path.glob("*out*"))


def test_flux_by_the_paths_of_its_first_repository(bases, tmp_path):
    """Kohya's names, which diffusers knows, are these paths with an underscore for each dot."""
    base, block = bases["flux"], "transformer_blocks.0"
    names = {
        "double_blocks.0.img_attn.qkv": [f"{block}.attn.to_{x}" for x in "qkv"],
        "double_blocks.0.txt_attn.proj": [f"{block}.attn.to_add_out"],
        "double_blocks.0.img_mlp.2": [f"{block}.ff.net.2"],
        "single_blocks.0.linear2": ["single_transformer_blocks.0.proj_out"],
    }
    path = tmp_path / "a.safetensors"
    _, regional, touched = write(path, base, names, "diffusion_model.{}".format, PEFT)
    merge(base, [Adapter(path, 0.5)], tmp_path / "out", FAMILY)
    before, after = load_file(base / WEIGHTS), load_file(tmp_path / "out" / WEIGHTS)
    assert assert_exact(before, after, regional, 0.5) == touched
