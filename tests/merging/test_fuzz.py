"""Whatever an adapter's own files hold, it is opened, written as a form, or refused with a reason.

`make soak` runs many more examples; what hypothesis finds it keeps in .hypothesis.
"""

from __future__ import annotations

import json
import shutil
from contextlib import suppress

import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.merging import write_adapter
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import WeightIndex
from ggez_hub.merging.merge import Adapter
from ggez_hub.registry.contribution.adapter_files import files_on_disk
from ggez_hub.safetensors_header import BadWeights, parse_header

from ..fuzzing import examples
from ..models import write_lora

EMBEDDING = get_family("embedding")
FUZZ = settings(
    max_examples=examples(30), deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)  # fmt: skip

NUMBERS = (
    st.integers() | st.floats() | st.sampled_from([0, -1, 10**400, 1 << 63, 1e308, True, "4", None])
)
JSON = st.recursive(
    NUMBERS | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
KEYS = [
    "alpha_pattern", "auto_mapping", "base_model_name_or_path", "bias", "exclude_modules",
    "fan_in_fan_out", "init_lora_weights", "layers_pattern", "layers_to_transform", "lora_alpha",
    "lora_bias", "modules_to_save", "peft_type", "r", "rank_pattern", "revision",
    "target_modules", "task_type", "trainable_token_indices", "use_dora", "use_rslora",
]  # fmt: skip
PATTERNS = st.dictionaries(
    st.sampled_from(["c_fc", "^transformer", "(", "a|b", ".*", r"\d+", "(?=x)", ""]) | st.text(max_size=6),
    NUMBERS | JSON, max_size=3,
)  # fmt: skip


@pytest.fixture(scope="module")
def lora(tmp_path_factory):
    return write_lora(tmp_path_factory.mktemp("lora"), targets=["c_fc"])


def tried(source, base, out):
    """What opens an adapter raises GgezError or nothing, and what writes one too."""
    index = WeightIndex(base, EMBEDDING.layout(base).weights)
    with suppress(GgezError):
        open_delta(source, EMBEDDING, index)
    for form in ("peft", "diffusers", "kohya"):
        shutil.rmtree(out, ignore_errors=True)
        with suppress(GgezError):
            write_adapter(base, [Adapter(source, 0.5)], out, EMBEDDING, form)
    with suppress(GgezError):
        files_on_disk(source)


@FUZZ
@given(changes=st.dictionaries(st.sampled_from(KEYS), JSON | PATTERNS, min_size=1, max_size=3))
@example(changes={"lora_alpha": 10**400})
@example(changes={"r": 10**400})
@example(changes={"alpha_pattern": {"c_fc": "x"}})
@example(changes={"alpha_pattern": {"c_fc": 10**400}})
@example(changes={"rank_pattern": {"\ud800": 3}})
def test_any_adapter_config(changes, lora, base, tmp_path):
    source = tmp_path / "adapter"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(lora, source)
    config = source / "adapter_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | changes))
    tried(source, base, tmp_path / "out")


@FUZZ
@given(content=st.binary(max_size=300) | st.text(max_size=100).map(lambda t: t.encode("utf-16")))
@example(content=b"[" * 100_000)
@example(content=b'{"peft_type": "LORA"')
@example(content="\ufeff{}".encode())
def test_any_bytes_as_adapter_config(content, lora, base, tmp_path):
    source = tmp_path / "adapter"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(lora, source)
    (source / "adapter_config.json").write_bytes(content)
    tried(source, base, tmp_path / "out")


KOHYA = ["ss_network_dim", "ss_network_alpha", "ss_network_module", "ss_network_args", "ss_seed",
         "ss_sd_model_name", "ss_base_model_version", "ss_learning_rate", "ss_tag_frequency",
         "modelspec.architecture", "modelspec.title", "modelspec.license", "lora_adapter_metadata",
         "ss_datasets", "format"]  # fmt: skip


@FUZZ
@given(
    metadata=st.dictionaries(
        st.sampled_from(KOHYA) | st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=40) | JSON.map(json.dumps),
        max_size=4,
    ),
    alpha=st.sampled_from([None, 4.0, 0.0, float("nan"), float("inf"), -1.0]),
)
@example(
    metadata={"lora_adapter_metadata": '{"unet.r": 1e999, "unet.lora_alpha": 1' + "0" * 400 + "}"},
    alpha=None,
)
@example(metadata={"ss_seed": "9" * 30, "ss_learning_rate": "1e999"}, alpha=4.0)
def test_any_metadata_of_kohya(metadata, alpha, base, tmp_path):
    module = "lora_te_text_model_encoder_layers_0_mlp_fc1"
    tensors = {
        f"{module}.lora_down.weight": torch.ones(2, 48),
        f"{module}.lora_up.weight": torch.ones(192, 2),
    }
    if alpha is not None:
        tensors[f"{module}.alpha"] = torch.tensor(alpha)
    source = tmp_path / "a.safetensors"
    save_file(tensors, source, metadata=metadata)
    tried(source, base, tmp_path / "out")


TENSOR = st.fixed_dictionaries({
    "dtype": st.sampled_from(["F32", "F16", "F8_E4M3", "BOOL", "F128", 3, None]),
    "shape": st.lists(NUMBERS, max_size=4) | JSON,
    "data_offsets": st.lists(NUMBERS, min_size=2, max_size=2) | JSON,
})  # fmt: skip


@FUZZ
@given(
    raw=st.dictionaries(st.text(max_size=6), TENSOR | JSON, max_size=4).map(
        lambda h: json.dumps(h).encode()
    )
    | st.binary(max_size=200),
    size=st.integers(0, 1 << 40),
)
@example(b'{"a": {"dtype": "F32", "shape": [1e999], "data_offsets": [0, 8]}}', 8)
@example(b'{"__metadata__": {"a": 1}}', 0)
@example(b'{"__metadata__": []}', 0)
def test_any_header(raw, size):
    with suppress(BadWeights):
        tensors, _ = parse_header(raw, size, "a.safetensors")
        assert sum(info.nbytes for info in tensors.values()) == size


@FUZZ
@given(start=st.integers(0, 4000), new=st.binary(min_size=1, max_size=8))
def test_any_damage_to_a_file(start, new, lora, base, tmp_path):
    source = tmp_path / "adapter"
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(lora, source)
    path = source / "adapter_model.safetensors"
    content = bytearray(path.read_bytes())
    content[start : start + len(new)] = new
    path.write_bytes(content)
    assert load_file(lora / "adapter_model.safetensors")
    tried(source, base, tmp_path / "out")
