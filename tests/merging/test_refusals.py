"""What cannot be merged exactly is refused with a reason, and nothing is left behind."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile

import peft
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file

from ggez_hub.atomic_files import atomic_folder
from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.families import UnknownLayout, get_family
from ggez_hub.merging import (
    Adapter,
    BadAdapter,
    NoSpace,
    OutputExists,
    WrongBase,
    merge,
    side_files,
)
from ggez_hub.output_lock import lock_output
from ggez_hub.safetensors_header import BadWeights

from ..models import open_clip_model, write_lora
from .exactness import load_pair

EMBEDDING = get_family("embedding")


@pytest.fixture
def adapter(tmp_path):
    return write_lora(tmp_path / "adapter", targets=["c_fc"])


def edit_config(folder, **changes):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def edit_weights(folder, change):
    path = folder / "adapter_model.safetensors"
    state = load_file(path)
    change(state)
    save_file(state, path)


def refusal(base, adapter, out, kind):
    with pytest.raises(kind) as caught:
        merge(base, [Adapter(adapter, 0.5)], out, EMBEDDING)
    assert not out.exists()
    assert not list(out.parent.glob(".out*"))
    return caught.value.message


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"use_dora": True}, "use_dora"),
        ({"lora_bias": True}, "lora_bias"),
        ({"bias": "all"}, "bias"),
        ({"modules_to_save": ["visual.proj"]}, "modules_to_save"),
        ({"target_parameters": ["x"]}, "target_parameters"),
        ({"fan_in_fan_out": True}, "fan_in_fan_out"),
        ({"an_option_of_next_year": 3}, "an_option_of_next_year"),
        ({"init_lora_weights": "pissa_niter_4"}, "init_lora_weights"),
        ({"peft_type": "POLY"}, "POLY"),
        ({"r": 7}, "rank"),
    ],
)
def test_options_that_change_the_arithmetic(base, adapter, tmp_path, changes, named):
    edit_config(adapter, **changes)
    assert named in refusal(base, adapter, tmp_path / "out", BadAdapter)


def test_keys_of_another_style(base, adapter, tmp_path):
    edit_weights(adapter, lambda state: state.update({"x.lora.down.weight": torch.ones(4, 4)}))
    assert "x.lora.down" in refusal(base, adapter, tmp_path / "out", BadAdapter)


def test_attention_whose_output_projection_peft_adds_twice(base, tmp_path):
    adapter = write_lora(tmp_path / "attention", targets=["attn"])
    assert "MultiheadAttention" in refusal(base, adapter, tmp_path / "out", BadAdapter)


def test_half_a_pair(base, adapter, tmp_path):
    edit_weights(adapter, lambda state: state.pop(next(k for k in state if "lora_B" in k)))
    assert "has only lora_A" in refusal(base, adapter, tmp_path / "out", BadAdapter)


def test_pickle_is_never_read(base, adapter, tmp_path):
    (adapter / "adapter_model.safetensors").rename(adapter / "adapter_model.bin")
    assert "never loaded" in refusal(base, adapter, tmp_path / "out", BadAdapter)


def test_module_that_the_base_lacks(base, adapter, tmp_path):
    def rename(state):
        for key in list(state):
            state[key.replace("resblocks.0", "resblocks.9")] = state.pop(key)

    edit_weights(adapter, rename)
    assert "resblocks.9" in refusal(base, adapter, tmp_path / "out", WrongBase)


def test_other_shape(base, adapter, tmp_path):
    def widen(state):
        key = next(k for k in state if "lora_A" in k)
        state[key] = torch.zeros(4, 49)

    edit_weights(adapter, widen)
    assert "(192, 49)" in refusal(base, adapter, tmp_path / "out", WrongBase)


@pytest.mark.parametrize("cut", [3, 200, -10])
def test_truncated_adapter(base, adapter, tmp_path, cut):
    path = adapter / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:cut])
    refusal(base, adapter, tmp_path / "out", BadWeights)


def test_folder_without_a_model(adapter, tmp_path):
    (tmp_path / "empty").mkdir()
    refusal(tmp_path / "empty", adapter, tmp_path / "out", UnknownLayout)


def test_existing_output_is_left_alone(base, adapter, tmp_path):
    out = tmp_path / "out"
    out.mkdir()
    (out / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputExists):
        merge(base, [Adapter(adapter, 0.5)], out, EMBEDDING)
    assert [p.name for p in out.iterdir()] == ["thesis.txt"]


def test_full_disk_is_seen_before_the_first_byte(base, adapter, tmp_path, monkeypatch):
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(side_files.shutil, "disk_usage", lambda _: usage)
    assert "free" in refusal(base, adapter, tmp_path / "out", NoSpace)


@pytest.mark.skipif(sys.platform == "win32", reason="makes links")
def test_a_link_in_place_of_the_folder_of_locks(base, adapter, tmp_path, monkeypatch):
    """Whoever may write to the folder of temporary files could lead us into one of our own."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    (tmp_path / "mine").mkdir()
    (tmp_path / "temporary" / f"ggez-hub-{os.getuid()}").symlink_to(tmp_path / "mine")
    with pytest.raises(PermissionError, match="is not a folder of yours"):
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
    assert not list((tmp_path / "mine").iterdir())


@pytest.mark.parametrize("following", ["out", "elsewhere/other"])
def test_what_a_killed_merge_left_goes_with_the_next_one(following, base, adapter, tmp_path):
    script = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from ggez_hub.families import get_family\n"
        "from ggez_hub.merging import Adapter, merge\n"
        "base, adapter, out = map(Path, sys.argv[1:])\n"
        "merge(base, [Adapter(adapter, 0.5)], out, get_family('embedding'),\n"
        "      wrote=lambda _: os.kill(os.getpid(), 9))\n"
    )
    arguments = [str(base), str(adapter), str(tmp_path / "out")]
    killed = subprocess.run([sys.executable, "-c", script, *arguments], check=False)
    assert killed.returncode == -9
    assert not (tmp_path / "out").exists()
    assert (tmp_path / ".out.partial").exists()
    merge(base, [Adapter(adapter, 0.5)], tmp_path / following, EMBEDDING)
    assert (tmp_path / following / "open_clip_model.safetensors").exists()
    assert not (tmp_path / ".out.partial").exists()


def test_the_unfinished_output_of_a_run_at_work_stays(base, adapter, tmp_path):
    with lock_output(tmp_path / "out"), atomic_folder(tmp_path / "out") as folder:
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "other", EMBEDDING)
        assert folder.is_dir()
    assert (tmp_path / "out").is_dir()


def test_command_line(base, adapter, tmp_path):
    out = tmp_path / "out"
    arguments = ["merge", "--base", str(base), "--adapter", str(adapter), "-o", str(out)]
    result = CliRunner().invoke(cli, [*arguments, "--beta", "0.5", "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.stdout)["family"] == "embedding"
    again = CliRunner().invoke(cli, [*arguments, "--beta", "0.5"])
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert "Traceback" not in again.stderr
    for wrong in (["--beta", "1", "--beta", "2"], ["--beta", "1", "--method", "dare_ties"]):
        assert CliRunner().invoke(cli, [*arguments, *wrong]).exit_code == 2
    assert out.is_dir()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda place: None, "there is nothing at"),
        (lambda place: place.mkdir(), "holds no files: there are no weights of an adapter"),
        (
            lambda place: (place.mkdir(), (place / "a.txt").touch()),
            "holds a.txt: there are no weights",
        ),
        (lambda place: place.touch(), "is not a .safetensors file"),
    ],
)
def test_what_is_not_an_adapter_is_described(base, tmp_path, make, said):
    make(tmp_path / "given")
    with pytest.raises(BadAdapter) as caught:
        merge(base, [Adapter(tmp_path / "given", 0.5)], tmp_path / "out", EMBEDDING)
    assert said in caught.value.message
    assert caught.value.hint


POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{'a' * 64}\nsize 1234\n"


@pytest.mark.parametrize(
    ("files", "said", "way_out"),
    [
        ({"a.safetensors": POINTER}, "is a pointer of Git LFS", "git lfs pull"),
        ({"a.safetensors": "<html>404</html>"}, "not a safetensors file", "Fetch it again"),
        ({"adapter_config.json": '{"peft_type": "LORA"}'}, "holds no adapter_model.safetensors", "both"),
        ({"adapter_model.safetensors": POINTER}, "is a pointer of Git LFS", "git lfs pull"),
        ({"adapter_model.safetensors": "{}"}, "has only 2 bytes", "Fetch it again"),
    ],
)  # fmt: skip
def test_an_incomplete_adapter_is_described_with_the_way_out(base, tmp_path, files, said, way_out):
    (tmp_path / "given").mkdir()
    for name, text in files.items():
        (tmp_path / "given" / name).write_text(text)
    with pytest.raises(GgezError) as caught:
        merge(base, [Adapter(tmp_path / "given", 0.5)], tmp_path / "out", EMBEDDING)
    assert said in caught.value.message
    assert way_out in caught.value.hint


def test_weights_without_the_configuration_of_peft(base, adapter, tmp_path):
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(BadAdapter, match=r"holds no adapter_config\.json") as caught:
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
    assert "fetch or copy both" in caught.value.hint


def test_a_file_within_a_peft_folder_is_told_to_be_named_by_its_folder(base, adapter, tmp_path):
    with pytest.raises(BadAdapter) as caught:
        merge(base, [Adapter(adapter / "adapter_model.safetensors", 1)], tmp_path / "o", EMBEDDING)
    assert caught.value.hint == f"Name the PEFT folder: {adapter}"


def test_a_model_of_another_family_is_called_that(base, adapter, tmp_path):
    pipeline = tmp_path / "pipeline"
    pipeline.mkdir()
    (pipeline / "model_index.json").write_text(
        '{"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "UNet2DConditionModel"]}'
    )
    (pipeline / "unet").mkdir()
    (pipeline / "unet" / "config.json").write_text("{}")
    save_file({"a": torch.zeros(2)}, pipeline / "unet" / "diffusion_pytorch_model.safetensors")
    for model, change in ((base, pipeline), (pipeline, adapter)):
        with pytest.raises(UnknownLayout, match="it is a model of the family diffusion") as caught:
            merge(model, [Adapter(change, 0.5)], tmp_path / "out", EMBEDDING)
        assert "--family" in caught.value.hint


def test_a_file_of_weights_that_are_not_a_lora(base, tmp_path):
    path = tmp_path / "a.safetensors"
    save_file({"some.weight": torch.zeros(2)}, path)
    with pytest.raises(BadAdapter, match="few of its keys are those of a LoRA"):
        merge(base, [Adapter(path, 0.5)], tmp_path / "out", EMBEDDING)


def test_named_adapters_of_a_folder_are_offered(base, tmp_path):
    for name in ("th", "vn"):
        write_lora(tmp_path / "both" / name, targets=["c_fc"])
    with pytest.raises(BadAdapter) as caught:
        merge(base, [Adapter(tmp_path / "both", 0.5)], tmp_path / "out", EMBEDDING)
    assert "holds 2 adapters in folders of their own: th, vn" in caught.value.message
    assert str(tmp_path / "both" / "th") in caught.value.hint
    merge(base, [Adapter(tmp_path / "both" / "vn", 0.5)], tmp_path / "out", EMBEDDING)


def test_a_base_in_float8_is_told_from_a_quantised_one(base, adapter, tmp_path):
    base = shutil.copytree(base, tmp_path / "float8")
    path = base / "open_clip_model.safetensors"
    state = load_file(path)
    save_file({k: t.to(torch.float8_e4m3fn) for k, t in state.items()}, path)
    assert "float8 is too coarse" in refusal(base, adapter, tmp_path / "out", WrongBase)
    save_file({k: t.to(torch.float8_e4m3fn).to(torch.bfloat16) for k, t in state.items()}, path)
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)


def test_one_of_several_named_adapters(base, tmp_path):
    """As PEFT saves two adapters of one model: the default one, and a folder for the other."""
    model = peft.get_peft_model(open_clip_model(), peft.LoraConfig(target_modules=["c_fc"]))
    model.add_adapter("th", peft.LoraConfig(target_modules=["c_proj"]))
    for parameter in model.parameters():
        parameter.data.add_(0.1)
    model.save_pretrained(tmp_path / "both")

    def run(name, out):
        options = ["--beta", "0.5", "-o", str(tmp_path / out)]
        adapter = f"{tmp_path / 'both'}:{name}"
        return CliRunner().invoke(
            cli, ["merge", "--base", str(base), "--adapter", adapter, *options]
        )

    for name, out, module in (("th", "one", "c_proj"), ("default", "two", "c_fc")):
        result = run(name, out)
        assert result.exit_code == 0, result.output
        before, after = load_pair(base, tmp_path / out)
        changed = {key for key in before if not torch.equal(before[key], after[key])}
        assert changed
        assert all(f".{module}." in key for key in changed)
    refused = run("vn", "three")
    assert refused.exit_code == 2
    assert "has no adapter 'vn': it holds default, th" in refused.stderr
