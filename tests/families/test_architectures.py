"""Each architecture of transformers: a LoRA of PEFT on it, merged exactly and loaded again."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path

import peft
import pytest
import torch
import transformers
from safetensors.torch import load_file

from ggez_hub.families import detect_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.deltas import WeightIndex

from .architectures import EMBEDDING, VLM, targets, write_adapter, write_base

BETA = 0.4
ARCHITECTURES = [("embedding", a) for a in EMBEDDING] + [("vlm", a) for a in VLM]
DTYPES = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Case:
    """An architecture with its base, its adapter and their merge at BETA."""

    family: str
    architecture: object
    dtype: torch.dtype
    base: Path
    adapter: Path
    modules: tuple[str, ...]
    out: Path


@pytest.fixture(
    scope="module",
    params=list(enumerate(ARCHITECTURES)),
    ids=[architecture.id for _, architecture in ARCHITECTURES],
)
def case(request, tmp_path_factory):
    number, (family, architecture) = request.param
    folder = tmp_path_factory.mktemp("case")
    dtype = DTYPES[number % 2]
    base = folder / "base"
    base.mkdir()
    write_base(base, architecture, dtype, shards=1 + number % 3)
    model = architecture.build()
    modules = tuple(targets(model))
    adapter = write_adapter(folder / "adapter", model, list(modules))
    merge(base, [Adapter(adapter, BETA)], folder / "out", detect_family(base))
    return Case(family, architecture, dtype, base, adapter, modules, folder / "out")


def load(case, folder, dtype=torch.float64):
    """The model as transformers itself loads the folder, whole and with nothing left over."""
    model, info = case.architecture.model_class.from_pretrained(
        folder, dtype=dtype, output_loading_info=True
    )
    assert not any(info[key] for key in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    return model


def ulp(x, dtype):
    info = torch.finfo(dtype)
    return torch.exp2(torch.floor(torch.log2(x.clamp_min(info.smallest_normal)))) * info.eps


def stored(folder, family):
    layout = family.layout(folder)
    tensors = [load_file(folder / path) for path in layout.weights]
    return {name: tensor for part in tensors for name, tensor in part.items()}


def test_the_family_and_the_class_that_loads_it_are_known_by_the_folder(case):
    family = detect_family(case.base)
    assert family.name == case.family
    loader = getattr(transformers, family.layout(case.base).loader)
    if loader is not case.architecture.model_class:
        with torch.device("meta"):
            config = transformers.AutoConfig.from_pretrained(case.base)
            assert type(loader.from_config(config)) is case.architecture.model_class


def check(case, out, base, regional):
    """`out` is base + BETA * (regional - base) within one ulp; gives the names that changed.

    All three are states in memory in float64, whatever the names on disk.
    """
    assert out.keys() == base.keys() == regional.keys()
    changed = set()
    for name, w in base.items():
        delta = BETA * (regional[name] - w)
        if not delta.any():
            assert torch.equal(out[name], w), name
            continue
        changed.add(name)
        reference = w + delta
        largest = torch.stack([w.abs(), delta.abs(), reference.abs()]).max(0).values
        assert ((out[name] - reference).abs() <= ulp(largest, case.dtype)).all(), name
        assert not torch.equal(out[name], w), name
    return changed


def test_merge_is_within_one_ulp_of_peft_in_float64(case):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        wrapped = peft.PeftModel.from_pretrained(
            load(case, case.base), case.adapter, autocast_adapter_dtype=False
        )
    regional = wrapped.double().merge_and_unload().state_dict()
    base, out = (load(case, folder).state_dict() for folder in (case.base, case.out))
    assert check(case, out, base, regional) == {f"{module}.weight" for module in case.modules}


def test_a_full_fine_tune_is_merged_within_one_ulp(case, tmp_path):
    model = load(case, case.base, case.dtype)
    torch.manual_seed(3)
    for parameter in model.parameters():
        parameter.data.add_(torch.randn_like(parameter) / 16)
    model.save_pretrained(tmp_path / "tuned")
    merge(
        case.base, [Adapter(tmp_path / "tuned", BETA)], tmp_path / "out", detect_family(case.base)
    )
    base, tuned, out = (
        load(case, folder).state_dict()
        for folder in (case.base, tmp_path / "tuned", tmp_path / "out")
    )
    assert check(case, out, base, tuned) >= {name for name, _ in model.named_parameters()}


def test_files_mirror_the_base_and_untouched_tensors_keep_their_bits(case):
    family = detect_family(case.base)
    layout = family.layout(case.base)
    before, after = (WeightIndex(folder, layout.weights) for folder in (case.base, case.out))
    assert {p: f.tensors for p, f in before.files.items()} == {
        p: f.tensors for p, f in after.files.items()
    }
    assert {p.name for p in case.base.iterdir()} == {p.name for p in case.out.iterdir()}
    for path in case.base.iterdir():
        if path.name not in layout.weights:
            assert path.read_bytes() == (case.out / path.name).read_bytes()
    old, new = stored(case.base, family), stored(case.out, family)
    changed = {name for name in old if not torch.equal(raw(old[name]), raw(new[name]))}
    assert len(changed) == len(case.modules) < len(old)


def raw(tensor):
    return tensor.reshape(-1).view(torch.uint8)


def test_beta_zero_is_the_base_bit_for_bit(case, tmp_path):
    family = detect_family(case.base)
    merge(case.base, [Adapter(case.adapter, 0.0)], tmp_path / "out", family)
    for path in case.base.iterdir():
        assert (tmp_path / "out" / path.name).read_bytes() == path.read_bytes()
