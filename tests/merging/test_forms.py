"""The PEFT form, loaded by PEFT at scale 1, is the merged form."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from itertools import cycle

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, BadAdapter, merge
from ggez_hub.merging.adapters.peft_folder import WEIGHTS as WEIGHTS_FILE
from ggez_hub.merging.deltas import WrongBase
from ggez_hub.merging.forms import ADAPTER_FORMS, FormBase, Need, get_adapter_form
from ggez_hub.merging.forms.tensors import is_finite

from .conftest import DTYPES
from .exactness import WEIGHTS, load_pair, peft_regional, ulp, write_peft
from .test_peft_forms import FORMS

EMBEDDING = get_family("embedding")
DTYPES_BY_NAME = {
    "F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64,
}  # fmt: skip
SAVING = ("bias", "modules_to_save", "trainable tokens")


def as_peft(adapter, beta, out, base=None):
    out.mkdir()
    peft = ADAPTER_FORMS["peft"]
    peft.write(Adapter(adapter, beta), FormBase("org/base", "a" * 40, EMBEDDING, base), out)
    return out


@pytest.mark.parametrize(("form", "dtype"), list(zip(FORMS, cycle(DTYPES), strict=False)))
def test_every_form_of_peft_equals_the_merged_form(form, dtype, bases, tmp_path):
    base = bases[dtype]
    adapter = write_peft(tmp_path / "adapter", FORMS[form])
    need = ADAPTER_FORMS["peft"].need(adapter)
    saves = any(word in form for word in SAVING) and form != "lora_bias"
    assert need == (Need.WEIGHTS if saves else Need.NOTHING)
    if form.startswith("dora"):
        with pytest.raises(BadAdapter, match="use_dora") as problem:
            as_peft(adapter, 0.7, tmp_path / "out")
        assert "merged form" in problem.value.hint
        return
    folder = as_peft(adapter, 0.7, tmp_path / "out", base if saves else None)
    merge(base, [Adapter(adapter, 0.7)], tmp_path / "merged", EMBEDDING)
    stored, merged = load_pair(base, tmp_path / "merged")
    adapted, changed = peft_regional(stored, folder), 0
    for name, tensor in merged.items():
        if not tensor.is_floating_point() or torch.equal(tensor, stored[name]):
            continue
        changed += 1
        before, after = stored[name].double(), tensor.double()
        largest = torch.stack([before.abs(), (after - before).abs(), after.abs()]).max(0).values
        # What is saved whole was rounded to float32 once more, before a LoRA's bias was added.
        units = ulp(largest, tensor.dtype) + ulp(largest.max(), torch.float32)
        assert ((adapted[name] - after).abs() <= units).all(), name
    assert changed > 0


@pytest.mark.parametrize("beta", [0.0, 1.0, 1.25])
def test_other_betas(lora, base, beta, tmp_path):
    folder = as_peft(lora, beta, tmp_path / "out")
    merge(base, [Adapter(lora, beta)], tmp_path / "merged", EMBEDDING)
    stored, merged = load_pair(base, tmp_path / "merged")
    adapted = peft_regional(stored, folder)
    for name, tensor in merged.items():
        if tensor.is_floating_point():
            torch.testing.assert_close(adapted[name], tensor.double(), rtol=1e-3, atol=1e-3)


def test_matrices_are_copied_and_the_base_is_named(lora, tmp_path):
    folder = as_peft(lora, 0.4, tmp_path / "out")
    assert (folder / "adapter_model.safetensors").read_bytes() == (
        lora / "adapter_model.safetensors"
    ).read_bytes()
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["lora_alpha"] == pytest.approx(6 * 0.4)
    assert config["alpha_pattern"] == {"resblocks.1.mlp.c_proj": pytest.approx(4.4)}
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", "a" * 40)


def test_only_what_is_saved_whole_is_computed(base, tmp_path):
    """base + beta * (saved - base) for those, the bytes of the adapter for all others."""
    adapter = write_peft(tmp_path / "adapter", FORMS["modules_to_save"])
    folder = as_peft(adapter, 0.25, tmp_path / "out", base)
    before = load_file(adapter / "adapter_model.safetensors")
    after = load_file(folder / "adapter_model.safetensors")
    stored = load_file(base / WEIGHTS)
    assert before.keys() == after.keys()
    for key, saved in before.items():
        if "lora_" in key:
            assert torch.equal(after[key], saved)
            continue
        start = stored[key.removeprefix("base_model.model.")].double()
        assert torch.equal(after[key], (start + 0.25 * (saved.double() - start)).float()), key


def test_whole_parameters_of_another_model_are_refused(base, tmp_path):
    adapter = write_peft(tmp_path / "adapter", FORMS["bias lora_only"])
    path = adapter / "adapter_model.safetensors"
    state = load_file(path)
    bias = next(key for key in state if key.endswith(".bias"))
    save_file({**state, bias: torch.ones(3)}, path)
    with pytest.raises(WrongBase, match=r"gives \(3,\)"):
        as_peft(adapter, 0.4, tmp_path / "out", base)


def test_whole_parameters_are_seen_whatever_the_config_says(lora, tmp_path):
    adapter = shutil.copytree(lora, tmp_path / "adapter")
    state = load_file(adapter / "adapter_model.safetensors")
    state["base_model.model.ln_final.bias"] = torch.zeros(48)
    save_file(state, adapter / "adapter_model.safetensors")
    assert ADAPTER_FORMS["peft"].need(adapter) is Need.WEIGHTS


@pytest.mark.parametrize("form", ["diffusers", "kohya"])
def test_a_model_that_is_no_pipeline_has_no_lora_file(base, lora, form, tmp_path):
    for folder in (None, base):
        with pytest.raises(BadAdapter, match="not a diffusers pipeline") as problem:
            ADAPTER_FORMS[form].write(
                Adapter(lora, 0.4), FormBase("org/base", None, EMBEDDING, folder), tmp_path
            )
        assert "--as peft" in problem.value.hint


def test_a_fine_tune_has_no_adapter_form(base, tmp_path):
    with pytest.raises(BadAdapter, match="not a LoRA") as problem:
        as_peft(base, 0.4, tmp_path / "out", base)
    assert "ggez-hub extract" in problem.value.hint


def test_other_forms_do_not_exist():
    with pytest.raises(UsageProblem, match="gguf"):
        get_adapter_form("gguf")


def test_it_needs_no_torch(lora, tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from ggez_hub.families import get_family\n"
        "from ggez_hub.merging.merge import Adapter\n"
        "from ggez_hub.merging.forms import ADAPTER_FORMS, FormBase\n"
        "base = FormBase('org/base', 'a' * 40, get_family('embedding'))\n"
        "ADAPTER_FORMS['peft'].write(Adapter(Path(sys.argv[1]), 0.4), base, Path(sys.argv[2]))\n"
        "assert not {'torch', 'mergekit', 'transformers'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(lora), str(tmp_path)], check=True)


@given(
    dtype=st.sampled_from(sorted(DTYPES_BY_NAME)),
    values=st.lists(st.floats(width=16, allow_nan=False, allow_infinity=False), min_size=1),
    bad=st.sampled_from([None, float("nan"), float("inf"), -float("inf")]),
)
def test_finite_is_what_torch_calls_finite(dtype, values, bad):
    tensor = torch.tensor([*values, *([] if bad is None else [bad])], dtype=DTYPES_BY_NAME[dtype])
    # The largest numbers of a dtype are numbers.
    largest = torch.finfo(tensor.dtype).max
    tensor = torch.cat([tensor, torch.tensor([largest, -largest], dtype=tensor.dtype)])
    data = tensor.view(torch.uint8).numpy().tobytes()
    assert is_finite(data, dtype) is bool(torch.isfinite(tensor).all())


def test_nan_is_refused_though_nothing_is_computed(bases, tmp_path):
    adapter = write_peft(tmp_path / "adapter", FORMS[next(iter(FORMS))])
    tensors = load_file(adapter / WEIGHTS_FILE)
    name = sorted(tensors)[0]
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, adapter / WEIGHTS_FILE)
    with pytest.raises(BadAdapter, match="NaN or Inf") as problem:
        as_peft(adapter, 0.5, tmp_path / "out")
    assert name in problem.value.message
