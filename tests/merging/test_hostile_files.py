"""Weight files that are not what their headers say, in every place where one is read."""

from __future__ import annotations

import json
import shutil
import struct

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.safetensors_header import MAX_HEADER_BYTES, BadWeights, read_header

from ..models import write_lora
from .exactness import WEIGHTS, same_bits
from .test_finetune import write_vector

EMBEDDING = get_family("embedding")


def entry(shape, start, end, dtype="F32"):
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, end]}


def raw(header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


HOSTILE = {
    "empty": (b"", "only 0 bytes"),
    "shorter than a length": (b"\x08\0\0", "only 3 bytes"),
    "a header longer than the file": (raw({}, length=1 << 20), "claims 1,048,576 bytes"),
    "a header of terabytes": (raw({}, length=1 << 42), "claims"),
    "a header over the format's limit": (
        raw(b" " * 64, length=MAX_HEADER_BYTES + 1), "limited to 25,000,000",
    ),
    "a pickle": (b"\x80\x04\x95" + b"." * 64, "claims"),
    "no JSON": (raw(b"{,}"), "no valid safetensors header"),
    "a list": (raw([]), "no valid safetensors header"),
    "deep JSON": (raw(b"[" * 5000), "no valid safetensors header"),
    "overlapping": (
        raw({"a": entry([2], 0, 8), "b": entry([2], 4, 12)}, bytes(12)), "overlaps another",
    ),
    "one in another": (
        raw({"a": entry([4], 0, 16), "b": entry([2], 4, 12)}, bytes(16)), "overlaps another",
    ),
    "the same bytes twice": (
        raw({"a": entry([2], 0, 8), "b": entry([2], 0, 8)}, bytes(8)), "overlaps another",
    ),
    "a gap": (raw({"a": entry([2], 0, 8), "b": entry([2], 12, 20)}, bytes(20)), "leaves a gap"),
    "a late start": (raw({"a": entry([2], 4, 12)}, bytes(12)), "leaves a gap"),
    "truncated": (raw({"a": entry([4], 0, 16)}, bytes(12)), "truncated"),
    "more than the header says": (raw({"a": entry([2], 0, 8)}, bytes(12)), "longer than its"),
    "another size than the shape's": (raw({"a": entry([3], 0, 8)}, bytes(8)), "size of its shape"),
    "a shape that overflows": (
        raw({"a": entry([1 << 40, 1 << 40], 0, 8)}, bytes(8)), "size of its shape",
    ),
    "a shape whose product takes an hour": (raw({"a": entry([1 << 62] * 65, 0, 8)}, bytes(8)), "not sizes"),
    "a size of no machine": (raw({"a": entry([1 << 63], 0, 8)}, bytes(8)), "not sizes"),
    "a negative size": (raw({"a": entry([-2], 0, 8)}, bytes(8)), "not sizes"),
    "a negative offset": (raw({"a": entry([2], -8, 0)}, bytes(8)), "not sizes"),
    "a size of half": (raw({"a": entry([1.5], 0, 6)}, bytes(6)), "not sizes"),
    "an unknown dtype": (raw({"a": entry([2], 0, 8, "F128")}, bytes(8)), "unknown dtype 'F128'"),
    "no dtype": (raw({"a": {"shape": [2], "data_offsets": [0, 8]}}, bytes(8)), "no valid"),
}  # fmt: skip


def as_base(base, data, folder):
    shutil.copytree(base, folder / "base")
    (folder / "base" / WEIGHTS).write_bytes(data)
    return folder / "base", write_lora(folder / "lora", targets=["c_fc"])


def as_lora(base, data, folder):
    lora = write_lora(folder / "lora", targets=["c_fc"])
    (lora / "adapter_model.safetensors").write_bytes(data)
    return base, lora


def as_finetune(base, data, folder):
    shutil.copytree(base, folder / "tuned")
    (folder / "tuned" / WEIGHTS).write_bytes(data)
    return base, folder / "tuned"


def as_vector(base, data, folder):
    vector = write_vector(folder / "vector", base, {"logit_scale": torch.ones(())})
    (vector / "task_vector.safetensors").write_bytes(data)
    return base, vector


@pytest.mark.parametrize("place", [as_base, as_lora, as_finetune, as_vector])
@pytest.mark.parametrize("how", HOSTILE)
def test_is_refused_wherever_it_is(how, place, base, tmp_path):
    data, named = HOSTILE[how]
    model, adapter = place(base, data, tmp_path)
    with pytest.raises(BadWeights) as caught:
        merge(model, [Adapter(adapter, 0.5)], tmp_path / "out", EMBEDDING)
    assert named in caught.value.message
    assert not list(tmp_path.glob("*out*"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_header_leads_out_of_its_file(data, tmp_path_factory):
    """Whatever stands in a header: either it is refused, or every tensor is within the file."""
    number = st.one_of(st.integers(-4, 40), st.sampled_from([1 << 31, 1 << 63, 1 << 64]))
    tensor = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from(["F32", "F16", "I64", "BOOL", "F4"]),
            "shape": st.lists(number, max_size=3),
            "data_offsets": st.lists(number, min_size=2, max_size=2),
        }
    )
    header = data.draw(st.dictionaries(st.text(max_size=3), tensor, max_size=3))
    path = tmp_path_factory.mktemp("any") / "a.safetensors"
    path.write_bytes(raw(header, bytes(data.draw(st.integers(0, 40)))))
    try:
        file = read_header(path)
    except BadWeights:
        return
    ends = [info.end for info in file.tensors.values()]
    assert file.data_start + max(ends, default=0) == path.stat().st_size
    assert sum(info.nbytes for info in file.tensors.values()) == max(ends, default=0)


SHARDED = get_family("vlm")


def write_cut(folder, state, cut):
    """The state in shards: `cut` says of each tensor which one it is in."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"model_type": "llama"}))
    names, weight_map = list(state), {}
    shards = {}
    for name, shard in zip(names, cut, strict=True):
        shards.setdefault(shard, []).append(name)
    for number, shard in enumerate(shards.values(), 1):
        file = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        save_file({name: state[name] for name in shard}, folder / file)
        weight_map |= dict.fromkeys(shard, file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))
    return folder


SHAPES = [(5, 7), (), (3,), (2, 3, 3, 3), (1, 64), (40, 11), (0, 4)]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    dtypes=st.lists(st.sampled_from(DTYPES), min_size=len(SHAPES), max_size=len(SHAPES)),
    cuts=st.lists(
        st.lists(st.integers(0, 3), min_size=len(SHAPES) + 1, max_size=len(SHAPES) + 1),
        min_size=3, max_size=3,
    ),
    beta=st.floats(0.01, 1.5),
    method=st.sampled_from(["ggez_linear", "task_arithmetic", "ties"]),
    seed=st.integers(0, 99),
)  # fmt: skip
def test_the_cut_into_shards_changes_no_bit(dtypes, cuts, beta, method, seed, tmp_path_factory):
    torch.manual_seed(seed)
    folder = tmp_path_factory.mktemp("cut")
    state = {
        f"t{n}": torch.randn(shape).to(dtype)
        for n, (shape, dtype) in enumerate(zip(SHAPES, dtypes, strict=True))
    }
    state["ids"] = torch.arange(6)
    tuned = {
        name: tensor.float() + 0.1 * torch.randn(tensor.shape) if name != "ids" else tensor
        for name, tensor in state.items()
    }
    regional = write_cut(folder / "tuned", tuned, cuts[0])
    results = []
    for number, cut in enumerate(cuts[1:]):
        base = write_cut(folder / f"base{number}", state, cut)
        out = folder / f"out{number}"
        merge(base, [Adapter(regional, beta)], out, SHARDED, method)
        files = sorted(p.name for p in base.iterdir())
        assert files == sorted(p.name for p in out.iterdir())
        merged = {}
        for path in out.glob("*.safetensors"):
            assert read_header(path).tensors == read_header(base / path.name).tensors
            merged |= load_file(path)
        results.append(merged)
    one, other = results
    assert one.keys() == other.keys() == state.keys()
    for name, tensor in one.items():
        assert same_bits(tensor, other[name]), name
        assert tensor.dtype == state[name].dtype
    assert same_bits(one["ids"], state["ids"])


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32", "utf-8-sig"])
def test_a_header_is_plain_utf8(encoding, tmp_path):
    """Python's JSON reader takes them all, and the format none of them."""
    text = json.dumps({"a": entry([2], 0, 8)}).encode(encoding)
    (tmp_path / "a.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + bytes(8))
    with pytest.raises(BadWeights, match="no valid safetensors header"):
        read_header(tmp_path / "a.safetensors")
