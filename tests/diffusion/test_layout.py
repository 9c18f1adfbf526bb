"""Pipeline folders: what is merged, what is carried, and what is refused."""

from __future__ import annotations

import json
import shutil
import warnings

import pytest
import torch
from click.testing import CliRunner
from diffusers import DiffusionPipeline
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.families import UnknownLayout, detect_family
from ggez_hub.families.weight_files import BadIndex, NoVariant
from ggez_hub.merging import Adapter, merge

from ..merging.exactness import assert_exact
from .loras import FAMILY, load, weights, write_named
from .pipelines import picture, write_pipeline

KOHYA = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
TARGET = "unet/mid_block.attentions.0.transformer_blocks.0.attn1.to_q.weight"
UNET = "diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(bases, tmp_path):
    """A copy of a pipeline to break."""
    return shutil.copytree(bases["sd15"], tmp_path / "copy")


def edit(path, change):
    value = json.loads(path.read_text())
    change(value)
    path.write_text(json.dumps(value))


def bad(folder):
    with pytest.raises(GgezError) as caught:
        FAMILY.layout(folder)
    return caught.value.message


def test_it_is_found_by_its_layout(bases, tmp_path):
    assert {detect_family(base).name for base in bases.values()} == {"diffusion"}
    with pytest.raises(UnknownLayout):
        FAMILY.layout(tmp_path)


def test_every_component_with_weights(bases):
    assert FAMILY.layout(bases["sdxl"]).weights == (
        "text_encoder/model.safetensors",
        "text_encoder_2/model.safetensors",
        f"unet/{UNET}",
        f"vae/{UNET}",
    )


def loaded_by(lines):
    names = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        exec("\n".join(lines), names)  # noqa: S102 - what we tell the reader to run
    return names["pipeline"]


def test_variant_and_shards(tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    write_pipeline("sdxl", base, variant="fp16", max_shard_size="300KB")
    layout = FAMILY.layout(base)
    shards = [path for path in layout.weights if path.startswith("unet/")]
    assert len(shards) > 2
    assert all(".fp16" in path for path in layout.weights)
    adapter = write_named(base, tmp_path / "a.safetensors", {KOHYA: TARGET}, alpha=lambda _: 4)
    report = merge(base, [Adapter(adapter, 1.0)], tmp_path / "out", FAMILY)
    assert (report.touched, report.tensors) == (1, len(weights(base)))
    files = {p.relative_to(base) for p in base.rglob("*") if p.name != "README.md"}
    assert files == {p.relative_to(tmp_path / "out") for p in (tmp_path / "out").rglob("*")}
    changed = [
        path
        for path in layout.weights
        if (base / path).read_bytes() != (tmp_path / "out" / path).read_bytes()
    ]
    assert len(changed) == 1
    assert changed[0] in shards
    lines = FAMILY.loading_lines(layout, str(tmp_path / "out"))
    assert 'variant="fp16", torch_dtype=torch.float16' in lines[-1]
    merged = {name: t.float() for name, t in weights(tmp_path / "out").items()}
    pipeline = loaded_by(lines)
    state = pipeline.unet.float().state_dict()
    name = TARGET.removeprefix("unet/")
    assert (state[name] == merged[TARGET]).all()
    assert not (load_file(base / changed[0])[name] == state[name]).all()


@pytest.mark.parametrize("name", ["sd15", "flux"])
def test_loading_lines_load_the_base(bases, name):
    lines = FAMILY.loading_lines(FAMILY.layout(bases[name]), str(bases[name]))
    pipeline = loaded_by(lines)
    dtype = {"sd15": "float32", "flux": "bfloat16"}[name]
    assert {str(model.dtype) for model in (pipeline.vae, pipeline.text_encoder)} == {
        f"torch.{dtype}"
    }


@pytest.fixture
def both(tmp_path):
    """A pipeline as it is published: plain and fp16, the UNet's fp16 in shards, and more."""
    base = tmp_path / "base"
    base.mkdir()
    write_pipeline("sd15", base)
    fp16 = load(base, torch.float16)
    fp16.unet.save_pretrained(base / "unet", variant="fp16", max_shard_size="150KB")
    fp16.vae.save_pretrained(base / "vae", variant="fp16")
    shutil.copy(base / "unet" / UNET, base / "unet" / UNET.replace(".safe", ".non_ema.safe"))
    (base / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"never read")
    (base / "unet" / "diffusion_pytorch_model.bin.index.json").write_text("{}")
    return base


@pytest.mark.parametrize("variant", [None, "fp16", "non_ema"])
def test_of_several_sets_the_one_that_diffusers_loads(both, tmp_path, variant):
    layout = FAMILY.layout(both, variant)
    adapter = write_named(both, tmp_path / "a.safetensors", {KOHYA: TARGET}, alpha=lambda _: 4)
    merge(both, [Adapter(adapter, 0.5)], tmp_path / "out", FAMILY, variant=variant)
    # Nothing of the other sets, which would be the base's.
    weights_there = {
        p.relative_to(tmp_path / "out").as_posix()
        for p in (tmp_path / "out").rglob("*")
        if p.suffix == ".safetensors" or ".index." in p.name
    }
    assert weights_there == {*layout.weights, *layout.indexes}
    assert FAMILY.layout(tmp_path / "out") == layout
    plain = {f"{name}/model.safetensors" for name in ("text_encoder",)}
    if variant == "fp16":
        assert {p for p in layout.weights if ".fp16" not in p} == plain
        assert len(layout.indexes) == 1
    options = {"variant": variant, "torch_dtype": torch.float16 if variant == "fp16" else None}
    base, out = (
        DiffusionPipeline.from_pretrained(folder, **options) for folder in (both, tmp_path / "out")
    )
    a, b = (
        load_file(adapter)[f"{KOHYA}.lora_down.weight"],
        load_file(adapter)[f"{KOHYA}.lora_up.weight"],
    )
    for component in ("unet", "vae", "text_encoder"):
        before, after = (getattr(p, component).state_dict() for p in (base, out))
        for name, stored in before.items():
            regional = stored.double()
            if f"{component}/{name}" == TARGET:
                regional = regional + b.double() @ a.double()
            assert_exact({name: stored}, {name: after[name]}, {name: regional}, 0.5)
    assert (
        loaded_by(FAMILY.loading_lines(layout, str(tmp_path / "out"))).unet.dtype == base.unet.dtype
    )


def test_a_variant_that_is_not_there(both, tmp_path):
    with pytest.raises(NoVariant) as caught:
        FAMILY.layout(both, "bf16")
    assert "fp16, non_ema" in caught.value.hint
    arguments = ["merge", "--base", both, "--adapter", both, "--beta", 1, "-o", tmp_path / "out"]
    result = CliRunner().invoke(cli, [*map(str, arguments), "--variant", "bf16"])
    assert result.exit_code == 2
    assert "no variant 'bf16'" in result.stderr


def test_several_variants_and_nothing_plain(both):
    (both / "unet" / UNET).unlink()
    with pytest.raises(NoVariant, match="fp16, non_ema"):
        FAMILY.layout(both)
    assert any("non_ema" in path for path in FAMILY.layout(both, "non_ema").weights)


def test_a_set_that_was_not_downloaded(both):
    for path in (both / "unet").glob("*.fp16-*"):
        path.unlink()
    assert not FAMILY.layout(both, "fp16").indexes
    shards = [p.name for p in (both / "unet").glob("*.safetensors")]
    for name in shards:
        (both / "unet" / name).unlink()
    with pytest.raises(BadIndex):
        FAMILY.layout(both, "fp16")


def test_weights_held_twice(copy):
    index = {"weight_map": dict.fromkeys(load_file(copy / "unet" / UNET), UNET)}
    (copy / "unet" / f"{UNET}.index.json").write_text(json.dumps(index))
    message = bad(copy)
    assert "2 times" in message
    assert f"{UNET}.index.json" in message


def test_python_code(copy):
    (copy / "unet" / "my_unet.py").write_text("raise SystemExit('it ran')")
    assert "unet/my_unet.py" in bad(copy)
    with pytest.raises(GgezError, match=r"my_unet\.py"):
        detect_family(copy)


@pytest.mark.parametrize("value", [["pipeline", "MyPipeline"], None, 3])
def test_pipelines_with_code_of_their_own(copy, value):
    edit(copy / "model_index.json", lambda index: index.update({"_class_name": value}))
    assert "_class_name" in bad(copy)


def test_a_pipeline_that_diffusers_does_not_know(copy, tmp_path):
    elsewhere = KOHYA.replace("mid_block_attentions_0", "middle_block_1")
    adapter = write_named(copy, tmp_path / "a.safetensors", {elsewhere: TARGET})
    edit(copy / "model_index.json", lambda index: index.update({"_class_name": "os"}))
    with pytest.raises(Exception, match="no LoRA loader for a os"):
        merge(copy, [Adapter(adapter, 1.0)], tmp_path / "out", FAMILY)


@pytest.mark.parametrize("name", ["../elsewhere", "a/b", ".."])
def test_component_names_are_no_paths(copy, name):
    edit(copy / "model_index.json", lambda index: index.update({name: ["diffusers", "VAE"]}))
    assert "not a component" in bad(copy)


@pytest.mark.parametrize("text", ["{", "[]", "[" * 100_000])
def test_broken_index(copy, text):
    (copy / "model_index.json").write_text(text)
    assert "model_index.json" in bad(copy)


def test_missing_component(copy):
    shutil.rmtree(copy / "vae")
    assert "'vae'" in bad(copy)


def test_missing_weights(copy):
    (copy / "vae" / UNET).unlink()
    assert "no weights" in bad(copy)


def test_only_pickles(copy):
    (copy / "vae" / UNET).rename(copy / "vae" / "diffusion_pytorch_model.bin")
    assert "never loaded" in bad(copy)


def test_weights_that_no_one_names(copy):
    shutil.copy(copy / "vae" / UNET, copy / "vae" / "better.safetensors")
    assert "better.safetensors" in bad(copy)


@pytest.mark.parametrize("shard", ["gone.safetensors", "../unet/" + UNET, "weights.bin"])
def test_shards_that_are_not_there(copy, shard):
    (copy / "vae" / UNET).unlink()
    index = {"weight_map": {"conv_in.weight": shard}}
    (copy / "vae" / f"{UNET}.index.json").write_text(json.dumps(index))
    assert shard in bad(copy)


def test_older_text_encoders_have_a_prefix(copy, tmp_path):
    """transformers 4 saved `text_model.`, transformers 5 does not; LoRA files exist for both."""
    path = copy / "text_encoder" / "model.safetensors"
    new = "text_encoder/encoder.layers.0.mlp.fc1.weight"
    key = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    adapter = write_named(copy, tmp_path / "a.safetensors", {key: new})
    merge(copy, [Adapter(adapter, 1.0)], tmp_path / "new", FAMILY)
    save_file({f"text_model.{name}": t for name, t in load_file(path).items()}, path)
    merge(copy, [Adapter(adapter, 1.0)], tmp_path / "old", FAMILY)
    old = weights(tmp_path / "old")["text_encoder/text_model.encoder.layers.0.mlp.fc1.weight"]
    assert (old == weights(tmp_path / "new")[new]).all()
    one, other = (picture(load(tmp_path / name), "sd15") for name in ("old", "new"))
    assert (one == other).all()
