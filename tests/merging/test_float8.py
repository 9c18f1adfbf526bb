"""Bases in float8: stored as bfloat16 where that is asked for, refused with that way out else."""

from __future__ import annotations

import json
import shutil

import peft
import pytest
import torch
import transformers
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, WrongBase, merge
from ggez_hub.registry.lock import read_any_lock

from ..families.architectures import LLAMA_MODEL, MIXTRAL, write_adapter, write_base, write_shards
from .exactness import same_bits, ulp, write_peft

VLM, EMBEDDING = get_family("vlm"), get_family("embedding")
INDEX = "model.safetensors.index.json"
BLOCK = (16, 24)


def state_of(folder):
    return {
        n: t for path in sorted(folder.glob("*.safetensors")) for n, t in load_file(path).items()
    }


def scales_for(weight, kind):
    """As transformers' quantiser makes them: the largest number of a block becomes 448."""
    if kind == "tensor":
        return weight.abs().max() / 448
    rows, columns = BLOCK
    grid = [
        [cell.abs().max() / 448 for cell in line.split(columns, 1)] for line in weight.split(rows)
    ]
    return torch.tensor(grid)


def spread(scale, shape):
    """A scale for each element; written apart from what is tested."""
    if scale.dim() == 0:
        return scale.expand(shape)
    rows, columns = (torch.arange(n) // b for n, b in zip(shape, BLOCK, strict=True))
    return scale[rows][:, columns]


def quantise(folder, kind):
    """Every linear weight of the blocks in float8 with scales; the same model in float64."""
    state, exact = {}, {}
    for name, tensor in state_of(folder).items():
        state[name], exact[name] = tensor, tensor.double()
        if tensor.dim() != 2 or ".layers." not in name or "gate.weight" in name:
            continue
        scale = scales_for(tensor.float(), kind)
        if kind == "e8m0":
            scale = scale.log2().ceil().exp2()
        wide = spread(scale, tensor.shape)
        state[name] = (tensor.float() / wide).to(torch.float8_e4m3fn)
        exact[name] = state[name].double() * wide.double()
        state[f"{name}_scale_inv"] = scale.to(torch.float8_e8m0fnu) if kind == "e8m0" else scale
    for path in folder.glob("model*"):
        path.unlink()
    write_shards(folder, state, 2)
    config = json.loads((folder / "config.json").read_text())
    config["quantization_config"] = {
        "quant_method": "fp8",
        "activation_scheme": "dynamic",
        "weight_block_size": None if kind == "tensor" else list(BLOCK),
    }
    (folder / "config.json").write_text(json.dumps(config))
    return exact


@pytest.fixture(scope="module")
def llama_adapter(tmp_path_factory):
    model = LLAMA_MODEL.build()
    return write_adapter(tmp_path_factory.mktemp("adapter"), model, ["q_proj", "down_proj"])


def deltas(adapter):
    """Delta of each tensor in float64: alpha / rank is 3 / 2."""
    state = load_file(adapter / "adapter_model.safetensors")
    modules = {key.partition(".lora_")[0] for key in state}
    return {
        f"{m.removeprefix('base_model.model.')}.weight": 1.5
        * state[f"{m}.lora_B.weight"].double()
        @ state[f"{m}.lora_A.weight"].double()
        for m in modules
    }


@pytest.mark.parametrize("kind", ["block", "tensor", "e8m0"])
@pytest.mark.parametrize("method", ["ggez_linear", "ties"])
def test_the_result_in_bfloat16_obeys_the_rule(kind, method, llama_adapter, tmp_path):
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    exact = quantise(write_base(base, LLAMA_MODEL, torch.bfloat16), kind)
    report = merge(
        base, [Adapter(llama_adapter, 0.4)], out, VLM, method=method, out_dtype="bfloat16"
    )
    merged, changes = state_of(out), deltas(llama_adapter)
    assert merged.keys() == exact.keys()
    assert report.touched == len(changes)
    for name, weight in exact.items():
        assert merged[name].dtype == torch.bfloat16
        delta = 0.4 * changes.get(name, torch.zeros(()))
        scale = torch.stack(
            torch.broadcast_tensors(weight.abs(), delta.abs(), (weight + delta).abs())
        )
        error = (merged[name].double() - weight - delta).abs()
        assert (error <= ulp(scale.max(0).values, torch.bfloat16)).all(), name
        if name not in changes:
            assert same_bits(merged[name], weight.bfloat16()), name


def rewrite(folder, files):
    """These tensors in these files, with an index of them."""
    weight_map = {name: path for path, part in files.items() for name in part}
    for path in folder.glob("model*"):
        path.unlink()
    for path, part in files.items():
        save_file(part, folder / path)
    (folder / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))


@pytest.mark.parametrize("changed", [["q_proj"], "all-linear"], ids=["one", "all"])
def test_nothing_is_left_of_the_scales(changed, tmp_path):
    """Whether the adapter changes every float8 tensor, and wherever their scales are stored."""
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    exact = quantise(write_base(base, LLAMA_MODEL, torch.bfloat16), "block")
    state = state_of(base)
    weights = {n: t for n, t in state.items() if t.dtype == torch.float8_e4m3fn}
    others = {n: t for n, t in state.items() if n not in weights}
    scales = {n: t for n, t in others.items() if n.startswith("model.layers.1.") and "scale" in n}
    others = {n: t for n, t in others.items() if n not in scales}
    # A file that holds scales and what no adapter changes, and one that holds scales alone.
    rewrite(
        base,
        {
            "model-1.safetensors": weights,
            "model-2.safetensors": others,
            "model-3.safetensors": scales,
        },
    )
    adapter = write_adapter(tmp_path / "adapter", LLAMA_MODEL.build(), changed)
    merge(base, [Adapter(adapter, 0.4)], out, VLM, out_dtype="bfloat16")
    assert state_of(out).keys() == exact.keys()
    assert {t.dtype for t in state_of(out).values()} == {torch.bfloat16}
    assert "quantization_config" not in json.loads((out / "config.json").read_text())
    assert json.loads((out / INDEX).read_text())["weight_map"].keys() == exact.keys()
    assert sorted(path.name for path in out.glob("*.safetensors")) == [
        "model-1.safetensors",
        "model-2.safetensors",
    ]


@pytest.mark.parametrize("architecture", [LLAMA_MODEL, MIXTRAL], ids=["llama", "mixtral"])
def test_transformers_loads_it_as_a_plain_model(architecture, tmp_path):
    """With beta 0 it is what transformers itself makes of the float8 base on a machine without GPU."""
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    write_base(base, architecture, torch.bfloat16)
    # transformers takes the size of a block from the scales, and needs it to divide the weight's.
    quantise(base, "tensor")
    adapter = write_adapter(tmp_path / "adapter", architecture.build(), ["q_proj"])
    merge(base, [Adapter(adapter, 0.0)], out, VLM, out_dtype="bfloat16")
    config = json.loads((out / "config.json").read_text())
    assert "quantization_config" not in config
    index = json.loads((out / INDEX).read_text())
    assert set(index["weight_map"]) == set(state_of(out))
    assert index["metadata"]["total_size"] == sum(t.nbytes for t in state_of(out).values())
    ours, info = transformers.AutoModelForCausalLM.from_pretrained(
        out, dtype="auto", output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    theirs = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.bfloat16)
    assert {p.dtype for p in ours.parameters()} == {torch.bfloat16}
    for name, tensor in theirs.state_dict().items():
        assert same_bits(ours.state_dict()[name], tensor), name


def test_numbers_that_were_only_cast(tmp_path, base, lora):
    """No scales beside them: bfloat16 holds each exactly. Methods that read the base read numbers."""
    float8 = shutil.copytree(base, tmp_path / "float8")
    path = float8 / "open_clip_model.safetensors"
    state = load_file(path)
    cast = {n: t.to(torch.float8_e5m2) if "resblocks" in n else t for n, t in state.items()}
    save_file(cast, path)
    adapter = write_peft(tmp_path / "dora", peft.LoraConfig(target_modules=["c_fc"], use_dora=True))
    for number, source in enumerate((lora, adapter)):
        out, wide = tmp_path / f"out-{number}", tmp_path / f"wide-{number}"
        merge(float8, [Adapter(source, 0.4)], out, EMBEDDING, out_dtype="bfloat16")
        plain = shutil.copytree(float8, tmp_path / f"plain-{number}")
        save_file(
            {n: t.bfloat16() if t.element_size() == 1 else t for n, t in cast.items()},
            plain / path.name,
        )
        merge(plain, [Adapter(source, 0.4)], wide, EMBEDDING)
        ours, theirs = load_file(out / path.name), load_file(wide / path.name)
        assert ours.keys() == theirs.keys()
        for name, tensor in theirs.items():
            assert ours[name].dtype == tensor.dtype
            if not tensor.is_floating_point():
                continue
            close = ulp(
                torch.maximum(tensor.double().abs(), cast[name].double().abs()), tensor.dtype
            )
            assert ((ours[name].double() - tensor.double()).abs() <= close).all(), name


@pytest.mark.parametrize("kind", [None, "block"], ids=["bfloat16", "float8"])
def test_a_fine_tune_is_what_its_numbers_stand_for(kind, tmp_path):
    base, tuned, out = (tmp_path / name for name in ("base", "tuned", "out"))
    for folder in (base, tuned):
        folder.mkdir()
        write_base(folder, LLAMA_MODEL, torch.bfloat16)
    state = {n: t + 0.05 * torch.randn_like(t) for n, t in state_of(tuned).items()}
    for path in tuned.glob("model*"):
        path.unlink()
    write_shards(tuned, state, 1)
    exact, regional = quantise(base, "block"), {n: t.double() for n, t in state.items()}
    if kind:
        regional = quantise(tuned, kind)
    with pytest.raises(WrongBase, match="too coarse") as caught:
        merge(base, [Adapter(tuned, 0.4)], out, VLM)
    assert "--out-dtype bfloat16" in caught.value.hint
    merge(base, [Adapter(tuned, 0.4)], out, VLM, out_dtype="bfloat16")
    for name, merged in state_of(out).items():
        w, delta = exact[name], 0.4 * (regional[name] - exact[name])
        largest = torch.stack([w.abs(), delta.abs(), (w + delta).abs()]).max(0).values
        assert ((merged.double() - w - delta).abs() <= ulp(largest, torch.bfloat16)).all(), name


def test_betas_by_part_and_several_adapters(llama_adapter, tmp_path):
    """Expressions match the names of scales, too; the cosine is that of what the numbers stand for."""
    base, out = tmp_path / "base", tmp_path / "out"
    base.mkdir()
    exact = quantise(write_base(base, LLAMA_MODEL, torch.bfloat16), "block")
    parts = tmp_path / "betas.yaml"
    parts.write_text("kind: betas\nparts:\n  - {tensors: q_proj, beta: 0}\n")
    options = ["--beta", "0.4", "--betas", str(parts), "--out-dtype", "bfloat16", "-o", str(out)]
    adapters = ["--adapter", str(llama_adapter)] * 2
    done = CliRunner().invoke(cli, ["merge", "--base", str(base), *adapters, *options])
    assert done.exit_code == 0, done.output
    assert "cos(Delta_1, Delta_2) = +1.0000" in done.output
    merged = state_of(out)
    changed = {n for n, t in merged.items() if not same_bits(t, exact[n].bfloat16())}
    assert changed == {name for name in exact if "down_proj" in name}


def test_lock_digest_and_card_name_the_dtype(llama_adapter, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    quantise(write_base(base, LLAMA_MODEL, torch.bfloat16), "block")
    merging = ["merge", "--base", str(base), "--adapter", str(llama_adapter), "--beta", "0.4"]
    run = CliRunner().invoke
    refused = run(cli, [*merging, "-o", str(tmp_path / "no")])
    assert refused.exit_code == 1
    assert "--out-dtype bfloat16" in refused.output
    out = str(tmp_path / "out")
    done = run(cli, [*merging, "-o", out, "--out-dtype", "bfloat16"])
    assert done.exit_code == 0, done.output
    record = read_any_lock(tmp_path / "out" / "ggez.lock").merge
    assert record.out_dtype == "bfloat16"
    assert record.digest != record.model_copy(update={"out_dtype": None}).digest
    assert "float8 in the base is bfloat16" in (tmp_path / "out" / "README.md").read_text()
    assert run(cli, ["verify", out]).exit_code == 0
    form = [*merging, "-o", str(tmp_path / "form"), "--as", "peft"]
    assert run(cli, [*form, "--out-dtype", "bfloat16"]).exit_code == 2
    assert run(cli, form).exit_code == 0


def test_a_base_without_float8_keeps_its_dtypes(bases, lora, tmp_path):
    for number, out_dtype in enumerate((None, "bfloat16")):
        out = tmp_path / str(number)
        merge(bases["F16"], [Adapter(lora, 0.5)], out, EMBEDDING, out_dtype=out_dtype)
    files = [(tmp_path / n / "open_clip_model.safetensors").read_bytes() for n in "01"]
    assert files[0] == files[1]
    with pytest.raises(UsageProblem, match="float32"):
        merge(bases["F16"], [], tmp_path / "no", EMBEDDING, out_dtype="float32")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state, name: state.pop(f"{name}_scale_inv"), "there is no"),
        (lambda state, name: state.update({f"{name}_scale_inv": torch.ones(3, 5)}), "not scales of"),
        (lambda state, name: state.update({f"{name}_scale_inv": torch.ones(2, 2).int()}), "one of I32"),
        (lambda state, name: state.update({"x.weight_scale_inv": torch.ones(1)}), "is not the scale"),
    ],
)  # fmt: skip
def test_scales_that_nobody_reads_so(change, message, llama_adapter, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    quantise(write_base(base, LLAMA_MODEL, torch.bfloat16), "block")
    state = state_of(base)
    change(state, "model.layers.0.self_attn.q_proj.weight")
    for path in base.glob("model*"):
        path.unlink()
    write_shards(base, state, 2)
    with pytest.raises(WrongBase, match=message):
        merge(base, [Adapter(llama_adapter, 0.4)], tmp_path / "out", VLM, out_dtype="bfloat16")
    assert not list(tmp_path.glob("*out*"))


def test_scales_without_a_config_that_names_them(llama_adapter, tmp_path):
    base = tmp_path / "base"
    base.mkdir()
    quantise(write_base(base, LLAMA_MODEL, torch.bfloat16), "block")
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | {"quantization_config": None}))
    with pytest.raises(GgezError, match="is not the scale"):
        merge(base, [Adapter(llama_adapter, 0.4)], tmp_path / "out", VLM, out_dtype="bfloat16")
