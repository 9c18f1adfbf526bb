"""Transformers folders: what is read, what is refused, and how the result is loaded."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models

from ggez_hub.errors import GgezError
from ggez_hub.families import UnknownLayout, detect_family, get_family
from ggez_hub.families.embedding import OtherFormat
from ggez_hub.families.weight_files import BadIndex, NoVariant
from ggez_hub.merging import Adapter, merge
from ggez_hub.safetensors_header import BadWeights

from ..models import write_lora, write_open_clip
from .architectures import CLIP, LLAMA_MODEL, LLAVA_HUB, write_adapter, write_base, write_shards

VLM = get_family("vlm")
INDEX = "model.safetensors.index.json"


@pytest.fixture(scope="module")
def llama_adapter(tmp_path_factory):
    model = LLAMA_MODEL.build()
    return write_adapter(tmp_path_factory.mktemp("adapter"), model, ["q_proj", "up_proj"])


@pytest.fixture
def llama(tmp_path):
    """A text-only base in shards."""
    (tmp_path / "base").mkdir()
    return write_base(tmp_path / "base", LLAMA_MODEL, torch.bfloat16, shards=2)


def edit(path, **changes):
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def refusal(base, adapter, kind):
    """The message with which the merge is refused; nothing is left behind."""
    out = base.parent / "out"
    with pytest.raises(kind) as caught:
        merge(base, [Adapter(adapter, 0.5)], out, VLM)
    assert not list(base.parent.glob("*out*"))
    return caught.value.message


def test_an_index_that_names_a_missing_shard(llama, llama_adapter):
    shard = sorted(llama.glob("*.safetensors"))[1]
    shard.unlink()
    assert shard.name in refusal(llama, llama_adapter, BadIndex)


def test_an_index_that_names_a_missing_tensor(llama, llama_adapter):
    index = json.loads((llama / INDEX).read_text())["weight_map"]
    edit(llama / INDEX, weight_map=index | {"lost.weight": next(iter(index.values()))})
    assert "lost.weight" in refusal(llama, llama_adapter, BadIndex)


@pytest.mark.parametrize("shard", ["../base.safetensors", "/etc/passwd", "a/b.safetensors", 7])
def test_an_index_that_leads_elsewhere(llama, llama_adapter, shard):
    edit(llama / INDEX, weight_map={"x": shard})
    assert str(shard) in refusal(llama, llama_adapter, BadIndex)


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"weight_map": {}}'])
def test_an_index_that_is_none(llama, llama_adapter, text):
    (llama / INDEX).write_text(text)
    refusal(llama, llama_adapter, BadIndex)


def test_a_truncated_shard(llama, llama_adapter):
    shard = sorted(llama.glob("*.safetensors"))[0]
    shard.write_bytes(shard.read_bytes()[:-9])
    assert "truncated" in refusal(llama, llama_adapter, BadWeights)


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"auto_map": {"AutoModel": "modeling.Evil"}}, "auto_map"),
        ({"text_config": {"auto_map": {"AutoConfig": "evil.Evil"}}}, "auto_map"),
        ({"vision_config": {"architecture": "HF_hub:some/model"}}, "elsewhere"),
        ({"vision_config": {"model_args": [{"checkpoint_path": "x.pth"}]}}, "checkpoint_path"),
        ({"architectures": ["A; import os"]}, "architectures"),
        ({"architectures": [["A"]]}, "architectures"),
        ({"transformers_weights": "../elsewhere.safetensors"}, "transformers_weights"),
        ({"model_type": "of_next_year"}, "of_next_year"),
    ],
)
def test_configs_that_are_not_plain_data(llama, llama_adapter, changes, named):
    edit(llama / "config.json", **changes)
    assert named in refusal(llama, llama_adapter, GgezError)


@pytest.mark.parametrize("place", ["", "text_config"])
def test_quantised_bases(llama, llama_adapter, place):
    entry = {"quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
    edit(llama / "config.json", **({place: entry} if place else entry))
    message = refusal(llama, llama_adapter, GgezError)
    assert "quantised" in message
    assert "bitsandbytes" in message


def test_pickles_are_never_read(llama, llama_adapter):
    for path in llama.glob("model*"):
        path.unlink()
    (llama / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    assert "pytorch_model.bin is never loaded" in refusal(llama, llama_adapter, UnknownLayout)


def test_a_folder_without_a_model_type(llama):
    edit(llama / "config.json", model_type=None)
    with pytest.raises(UnknownLayout, match="no model_type"):
        VLM.layout(llama)
    with pytest.raises(UnknownLayout):
        detect_family(llama)


def test_two_variants_without_plain_weights(llama, llama_adapter):
    for name in ("model.fp16.safetensors", "model.bf16.safetensors"):
        save_file({"x": torch.zeros(1)}, llama / name)
    assert VLM.layout(llama).weights[0].startswith("model-0000")
    (llama / INDEX).unlink()
    assert "bf16, fp16" in refusal(llama, llama_adapter, NoVariant)
    assert VLM.layout(llama, "fp16").weights == ("model.fp16.safetensors",)


def test_the_file_that_a_config_names(llama, llama_adapter):
    (llama / INDEX).rename(llama / "other.safetensors.index.json")
    edit(llama / "config.json", transformers_weights="other.safetensors.index.json")
    assert VLM.layout(llama).weights == tuple(sorted(p.name for p in llama.glob("model-*")))


@pytest.mark.parametrize("shards", [1, 2])
def test_variants_are_merged_and_loaded_as_such(tmp_path, llama_adapter, shards):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", LLAMA_MODEL, torch.float16)
    whole = load_file(base / "model.safetensors")
    (base / "model.safetensors").unlink()
    write_shards(base, whole, shards, variant="fp16")
    merge(base, [Adapter(llama_adapter, 0.5)], tmp_path / "out", VLM)
    layout = VLM.layout(tmp_path / "out")
    assert len(layout.weights) == shards
    assert all("fp16" in path for path in layout.weights)
    lines = VLM.loading_lines(layout, str(tmp_path / "out"))
    names = {}
    exec("\n".join(lines[:2]), names)  # noqa: S102 - the lines are ours
    state = names["model"].state_dict()
    assert state.keys() == whole.keys()
    changed = {name for name, tensor in whole.items() if not torch.equal(state[name], tensor)}
    assert len(changed) == 4


@pytest.mark.parametrize(
    ("config", "loader"),
    [
        (CLIP.config | {"architectures": ["CLIPModel"]}, "CLIPModel"),
        (
            CLIP.config | {"architectures": ["CLIPForImageClassification"]},
            "CLIPForImageClassification",
        ),
        (LLAVA_HUB.config, "AutoModelForImageTextToText"),
        (LLAMA_MODEL.config, "AutoModelForCausalLM"),
        (LLAMA_MODEL.config | {"architectures": ["LlamaModel"]}, "LlamaModel"),
    ],
)
def test_the_class_that_loads_a_folder_of_a_named_family(tmp_path, config, loader):
    (tmp_path / "config.json").write_text(json.dumps(config))
    save_file({"x": torch.zeros(1)}, tmp_path / "model.safetensors")
    layout = VLM.layout(tmp_path)
    assert layout.loader == loader
    assert VLM.loading_lines(layout, "x")[0].startswith(f"from transformers import {loader}, ")


def test_a_folder_in_two_formats_is_that_of_open_clip(tmp_path):
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", CLIP, torch.float16)
    write_open_clip(base, torch.float16)
    adapter = write_adapter(tmp_path / "adapter", CLIP.build(), ["fc1"])
    family = detect_family(base)
    assert family.layout(base).library == "open_clip"
    with pytest.raises(OtherFormat, match=r"fc1.*transformers model too"):
        merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", family)
    (base / "open_clip_config.json").unlink()
    assert merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", family).touched == 4


def test_open_clip_loads_the_result(tmp_path):
    (tmp_path / "base").mkdir()
    base = write_open_clip(tmp_path / "base", torch.float32, buffer=False)
    adapter = write_lora(tmp_path / "adapter", targets=["c_fc"])
    family = detect_family(base)
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", family)
    lines = family.loading_lines(family.layout(tmp_path / "out"), str(tmp_path / "out"))
    names = {}
    exec("\n".join(lines), names)  # noqa: S102 - the lines are ours
    state = names["model"].state_dict()
    merged = load_file(tmp_path / "out" / "open_clip_model.safetensors")
    before = load_file(base / "open_clip_model.safetensors")
    assert state.keys() == merged.keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in merged.items())
    assert sum(not torch.equal(state[name], tensor) for name, tensor in before.items()) == 4
    picture = names["preprocess"](Image.new("RGB", (40, 40)))
    assert names["model"].encode_image(picture.unsqueeze(0)).isfinite().all()


def tokenizer():
    words = {
        word: number for number, word in enumerate(["[PAD]", "[BOS]", "[EOS]", "<image>", "a"])
    }
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="a")),
        pad_token="[PAD]", bos_token="[BOS]", eos_token="[EOS]", unk_token="a",
        extra_special_tokens={"image_token": "<image>"},
        chat_template="{{ messages[0].content }}",
    )  # fmt: skip


def pictures():
    return transformers.CLIPImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    )


FEEDERS = {
    "clip": (
        CLIP,
        lambda: transformers.CLIPProcessor(pictures(), tokenizer()),
        ("CLIPModel", "CLIPProcessor"),
    ),
    "llava": (
        LLAVA_HUB,
        lambda: transformers.LlavaProcessor(
            pictures(),
            tokenizer(),
            patch_size=14,
            vision_feature_select_strategy="default",
            num_additional_image_tokens=1,
        ),
        ("LlavaForConditionalGeneration", "LlavaProcessor"),
    ),
    "llama": (LLAMA_MODEL, tokenizer, ("LlamaForCausalLM", "TokenizersBackend")),
}


@pytest.mark.parametrize("name", FEEDERS)
def test_loading_lines_load_the_result_with_what_feeds_it(tmp_path, name):
    architecture, feeder, classes = FEEDERS[name]
    (tmp_path / "base").mkdir()
    base = write_base(tmp_path / "base", architecture, torch.float16)
    for placeholder in ("processor_config.json", "tokenizer.json", "chat_template.jinja"):
        (base / placeholder).unlink()
    feeder().save_pretrained(base)
    transformers.GenerationConfig(max_new_tokens=7).save_pretrained(base)
    adapter = write_adapter(tmp_path / "adapter", architecture.build(), ["q_proj"])
    family = detect_family(base)
    merge(base, [Adapter(adapter, 0.5)], tmp_path / "out", family)
    lines = family.loading_lines(family.layout(tmp_path / "out"), str(tmp_path / "out"))
    names = {}
    exec("\n".join(lines), names)  # noqa: S102 - the lines are ours
    loaded = (names["model"], names.get("processor") or names["tokenizer"])
    assert tuple(type(thing).__name__ for thing in loaded) == classes
    assert names["model"].dtype == torch.float16
    template = getattr(loaded[1], "tokenizer", loaded[1]).chat_template
    assert template == "{{ messages[0].content }}"
    if name != "clip":
        assert names["model"].generation_config.max_new_tokens == 7


def test_layouts_are_read_without_torch_and_transformers(llama):
    code = (
        "import sys\n"
        "from pathlib import Path\n"
        "from ggez_hub.families import detect_family\n"
        "family = detect_family(Path(sys.argv[1]))\n"
        "print(family.loading_lines(family.layout(Path(sys.argv[1])), 'x')[0])\n"
        "assert not {'torch', 'transformers'} & sys.modules.keys()\n"
    )
    command = [sys.executable, "-c", code, str(llama)]
    run = subprocess.run(command, capture_output=True, text=True, check=True)
    assert run.stdout == "from transformers import AutoModelForCausalLM, AutoTokenizer\n"


def test_a_folder_that_holds_no_model_is_told_what_a_model_is_known_by(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"")
    with pytest.raises(
        UnknownLayout, match=r"holds model\.safetensors: no model of a known layout"
    ) as caught:
        detect_family(tmp_path)
    assert "config.json, model_index.json, open_clip_config.json" in caught.value.hint
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnknownLayout, match="holds no files"):
        detect_family(tmp_path / "empty")
    # It has what such a model is known by; its weights are never read.
    for name in ("config.json", "pytorch_model.bin"):
        (tmp_path / "empty" / name).write_text("{}")
    with pytest.raises(UnknownLayout, match=r"only in pytorch_model\.bin, which") as caught:
        detect_family(tmp_path / "empty")
    assert "Convert it to safetensors" in caught.value.hint
