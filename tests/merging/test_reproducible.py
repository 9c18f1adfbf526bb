"""The same bytes whatever the number of threads, and whatever kernels the processor chooses."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys

import peft
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge

from .conftest import DTYPES
from .exactness import WEIGHTS, assert_exact, write_peft
from .test_finetune import write_finetune

EMBEDDING = get_family("embedding")
TARGETS = r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)|token_embedding|visual.conv1"
SCRIPT = """
import hashlib, sys
from pathlib import Path
import torch
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge

torch.set_num_threads(int(sys.argv[1]))
out, *rest = map(Path, sys.argv[2:])
bases, adapters = rest[:3], rest[3:]
for number, base in enumerate(bases):
    for method in ("ggez_linear", "ties", "ties(0.3)", "dare(0.5, 7)"):
        target = out / f"{number}-{method}"
        merge(base, [Adapter(a, 0.7 / (n + 1)) for n, a in enumerate(adapters)], target,
              get_family("embedding"), method)
        data = (target / "open_clip_model.safetensors").read_bytes()
        print(hashlib.sha256(data).hexdigest())
"""


@pytest.mark.slow
def test_same_bytes_on_any_processor(bases, tmp_path):
    """One process for each set of kernels: they are chosen when torch is loaded."""
    dora = peft.LoraConfig(r=4, lora_alpha=5, target_modules=TARGETS, use_dora=True)
    lokr = peft.LoKrConfig(r=2, alpha=5, target_modules=["c_fc"])
    adapters = [
        write_peft(tmp_path / "dora", dora),
        write_peft(tmp_path / "lokr", lokr, seed=2),
        write_finetune(tmp_path / "tuned", bases["F16"], torch.float32),
    ]
    kernels = (
        ("1", {"ATEN_CPU_CAPABILITY": "default", "MKL_CBWR": "COMPATIBLE"}),
        ("2", {"ATEN_CPU_CAPABILITY": "avx2", "MKL_CBWR": "AUTO"}),
    )
    answers = set()
    for number, (threads, chosen) in enumerate(kernels):
        out = tmp_path / str(number)
        out.mkdir()
        places = map(str, (out, *bases.values(), *adapters))
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, threads, *places],
            env=os.environ | chosen, capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert len(done.stdout.split()) == 12
        answers.add(done.stdout)
    assert len(answers) == 1


# Of rows and of columns, of many lengths.
NORMS = """
import hashlib
import torch
from ggez_hub.merging.adapters.dora import DoraRows
from ggez_hub.merging.delta_rows import Whole, whole

torch.manual_seed(0)
seen = hashlib.sha256()
for columns in (1, 3, 8, 31, 64, 100, 129, 640, 1000, 1152, 2048, 3001):
    low, weight = torch.randn(2, 60, columns, dtype=torch.float64)
    rows = DoraRows("w", Whole(low), weight, weight, torch.ones(60, dtype=torch.float64))
    across = DoraRows("w", Whole(low), weight, weight, torch.ones(columns, dtype=torch.float64))
    for delta in (rows, across.with_column_norms()):
        seen.update(whole(delta, weight.shape).numpy().tobytes())
print(seen.hexdigest())
"""


@pytest.mark.slow
def test_norms_are_added_up_alike_on_any_processor():
    answers = {
        subprocess.run(
            [sys.executable, "-c", NORMS], env=os.environ | {"ATEN_CPU_CAPABILITY": kernels},
            capture_output=True, text=True, check=True,
        ).stdout
        for kernels in ("default", "avx2")
    }  # fmt: skip
    assert len(answers) == 1


def test_same_bytes_with_one_and_two_threads(bases, lora, tmp_path):
    digests = set()
    before = torch.get_num_threads()
    try:
        for threads in (1, 2):
            torch.set_num_threads(threads)
            out = tmp_path / str(threads)
            merge(bases["BF16"], [Adapter(lora, 0.4)], out, EMBEDDING, "task_arithmetic")
            digests.add(hashlib.sha256((out / WEIGHTS).read_bytes()).hexdigest())
    finally:
        torch.set_num_threads(before)
    assert len(digests) == 1


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    rank=st.integers(1, 40),
    alpha=st.floats(1e-3, 100),
    beta=st.floats(1e-3, 2),
    rows=st.integers(1, 70),
    columns=st.integers(1, 70),
    base_dtype=st.sampled_from(list(DTYPES)),
    dtype=st.sampled_from(list(DTYPES)),
    dora=st.booleans(),
    size=st.sampled_from([1e-6, 1e-2, 1.0, 100.0]),
    seed=st.integers(0, 99),
)
def test_any_rank_shape_dtype_and_beta(
    tmp_path_factory, rank, alpha, beta, rows, columns, base_dtype, dtype, dora, size, seed
):
    """One matrix of any shape, with the folders of an open_clip model around it."""
    torch.manual_seed(seed)
    folder = tmp_path_factory.mktemp("any")
    base, adapter = folder / "base", folder / "adapter"
    for place in (base, adapter):
        place.mkdir()
    weight = torch.randn(rows, columns).to(DTYPES[base_dtype])
    save_file({"m.weight": weight}, base / WEIGHTS)
    (base / "open_clip_config.json").write_text("{}")
    a = (torch.randn(rank, columns) * size).to(DTYPES[dtype])
    b = (torch.randn(rows, rank) * size).to(DTYPES[dtype])
    tensors = {"base_model.model.m.lora_A.weight": a, "base_model.model.m.lora_B.weight": b}
    wide = weight.double() + alpha / rank * (b.double() @ a.double())
    if dora:
        m = (torch.rand(rows) + 0.5).to(DTYPES[dtype])
        tensors["base_model.model.m.lora_magnitude_vector"] = m
        wide = m.double().unsqueeze(1) * wide / wide.norm(dim=1, keepdim=True)
    save_file(tensors, adapter / "adapter_model.safetensors")
    config = peft.LoraConfig(r=rank, lora_alpha=alpha, target_modules=["m"], use_dora=dora)
    config.save_pretrained(adapter)
    merged = weight.double() + beta * (wide - weight.double())
    if not merged.to(weight.dtype).isfinite().all():
        with pytest.raises(GgezError, match=r"m\.weight"):
            merge(base, [Adapter(adapter, beta)], folder / "out", EMBEDDING)
        return
    merge(base, [Adapter(adapter, beta)], folder / "out", EMBEDDING)
    out = load_file(folder / "out" / WEIGHTS)
    reference = {"m.weight": wide}
    assert_exact({"m.weight": weight}, out, reference, beta, must_change=False)
