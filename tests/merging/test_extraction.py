"""Extraction: the best LoRA there is, the error as it is, and nothing dropped silently."""

from __future__ import annotations

import json
import math
import subprocess
import sys

import peft
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from ggez_hub.cli.main import cli
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, merge
from ggez_hub.merging.extraction import extract_lora, extract_task_vector
from ggez_hub.merging.extraction.factors import MANY, factorise

from ..models import open_clip_model, write_open_clip
from .exactness import WEIGHTS, load_pair, peft_regional
from .test_finetune import write_finetune

pytestmark = pytest.mark.slow

EMBEDDING = get_family("embedding")
MATRICES = (
    "transformer.resblocks.0.mlp.c_fc.weight",
    "visual.transformer.resblocks.1.mlp.c_proj.weight",
    "token_embedding.weight",
    "visual.conv1.weight",
)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """float32, and nothing that open_clip would not load."""
    folder = tmp_path_factory.mktemp("base")
    return write_open_clip(folder, torch.float32, buffer=False)


def write_low_rank(folder, base, rank, dtype=torch.float32):
    """A fine-tune whose difference has a known rank."""

    def change(state):
        for name in MATRICES:
            shape = state[name].shape
            left = torch.randn(shape[0], rank, dtype=torch.float64)
            right = torch.randn(rank, math.prod(shape[1:]), dtype=torch.float64)
            moved = state[name].double() + 0.02 * (left @ right).reshape(shape)
            state[name] = moved.to(dtype)

    return write_finetune(folder, base, changed=(), change=change)


def difference(base, out):
    """||out - base|| and the tensors, in float64."""
    return {name: out[name].double() - tensor.double() for name, tensor in base.items()}


def test_a_true_low_rank_difference_comes_back_whole(base, tmp_path):
    tuned = write_low_rank(tmp_path / "tuned", base, 4)
    report = extract_lora(base, tuned, tmp_path / "lora", EMBEDDING, 4)
    assert {e.tensor for e in report.extracted} == set(MATRICES)
    assert not report.left_out
    assert report.relative < 2e-6
    merge(base, [Adapter(tmp_path / "lora", 1.0)], tmp_path / "out", EMBEDDING)
    state, out = load_pair(base, tmp_path / "out")
    expected = load_file(tuned / WEIGHTS)
    for name in state:
        torch.testing.assert_close(out[name], expected[name], rtol=0, atol=2e-6)
    # The same by PEFT itself: every key is one that it loads.
    regional = peft_regional(state, tmp_path / "lora")
    for name in state:
        torch.testing.assert_close(regional[name], out[name].double(), rtol=0, atol=1e-6)


def test_rank_auto_finds_the_rank(base, tmp_path):
    tuned = write_low_rank(tmp_path / "tuned", base, 3)
    report = extract_lora(base, tuned, tmp_path / "lora", EMBEDDING, None, 1 - 1e-9)
    assert {e.rank for e in report.extracted} == {3}
    rough = extract_lora(base, tuned, tmp_path / "rough", EMBEDDING, None, 0.5)
    assert max(e.rank for e in rough.extracted) < 3
    assert all(e.relative**2 <= 0.5 + 1e-6 for e in rough.extracted)


@pytest.fixture(scope="module")
def all_changed(base, tmp_path_factory):
    """A fine-tune of every tensor."""
    names = tuple(load_file(base / WEIGHTS))
    return write_finetune(tmp_path_factory.mktemp("all") / "tuned", base, changed=names)


def test_what_a_lora_cannot_hold_is_saved_or_named(base, all_changed, tmp_path):
    report = extract_lora(base, all_changed, tmp_path / "lora", EMBEDDING, 8)
    state = load_file(base / WEIGHTS)
    left = {tensor.tensor for tensor in report.left_out}
    assert left == {
        "logit_scale", "positional_embedding", "text_projection",
        "visual.class_embedding", "visual.positional_embedding", "visual.proj",
    }  # fmt: skip
    assert {e.tensor for e in report.extracted} == state.keys() - left
    whole = {e.tensor for e in report.extracted if not e.rank}
    assert {"ln_final.weight", "visual.transformer.resblocks.0.mlp.c_fc.bias"} <= whole
    assert "transformer.resblocks.1.attn.in_proj_weight" in whole

    merge(base, [Adapter(tmp_path / "lora", 1.0)], tmp_path / "out", EMBEDDING)
    _, out = load_pair(base, tmp_path / "out")
    wanted = difference(state, load_file(all_changed / WEIGHTS))
    got = difference(state, out)
    for e in report.extracted:
        error = (wanted[e.tensor] - got[e.tensor]).norm() / wanted[e.tensor].norm()
        assert error.item() == pytest.approx(e.relative, abs=1e-5), e.tensor
    norm = math.sqrt(sum(d.square().sum().item() for d in wanted.values()))
    error = math.sqrt(sum((wanted[n] - got[n]).square().sum().item() for n in wanted))
    assert error / norm == pytest.approx(report.relative, abs=1e-5)
    assert 0.05 < report.relative < 1
    regional = peft_regional(state, tmp_path / "lora")
    for name in state:
        torch.testing.assert_close(regional[name], out[name].double(), rtol=0, atol=1e-6)


def test_the_lora_is_the_best_of_its_rank(base, all_changed, tmp_path):
    report = extract_lora(base, all_changed, tmp_path / "lora", EMBEDDING, 8)
    wanted = difference(load_file(base / WEIGHTS), load_file(all_changed / WEIGHTS))
    for e in report.extracted:
        if e.rank:
            s = torch.linalg.svdvals(wanted[e.tensor].flatten(1))
            best = s[e.rank :].square().sum().sqrt() / s.square().sum().sqrt()
            assert e.relative == pytest.approx(best.item(), rel=1e-4, abs=1e-6), e.tensor


def test_it_does_the_same_before_it_is_merged(base, all_changed, tmp_path):
    extract_lora(base, all_changed, tmp_path / "lora", EMBEDDING, 8)
    model = open_clip_model()
    model.load_state_dict(load_file(base / WEIGHTS))
    wrapped = peft.PeftModel.from_pretrained(model, tmp_path / "lora").eval()
    text = torch.randint(0, 64, (2, 16))
    image = torch.randn(2, 3, 32, 32)
    with torch.no_grad():
        live = wrapped.base_model.model.encode_text(text), wrapped.model.encode_image(image)
        merged = wrapped.merge_and_unload()
        after = merged.encode_text(text), merged.encode_image(image)
    for one, other in zip(live, after, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("few", [False, True])
def test_task_vector(base, all_changed, tmp_path, few):
    tuned = all_changed
    if few:

        def change(state):
            state["token_embedding.weight"][5] += 1
            state["logit_scale"] += 0.5

        tuned = write_finetune(tmp_path / "few", base, changed=(), change=change)
    report = extract_task_vector(base, tuned, tmp_path / "vector", EMBEDDING)
    assert report.relative < 1e-7
    merge(base, [Adapter(tmp_path / "vector", 1.0)], tmp_path / "out", EMBEDDING)
    state, out = load_pair(base, tmp_path / "out")
    expected = load_file(tuned / WEIGHTS)
    for name in state:
        torch.testing.assert_close(out[name], expected[name], rtol=2e-7, atol=1e-8)
    stored = load_file(tmp_path / "vector" / "task_vector.safetensors")
    if few:
        assert stored["token_embedding.weight::indices"].tolist() == list(range(240, 288))
        assert stored["logit_scale"].item() == pytest.approx(0.5)
    else:
        assert stored.keys() == state.keys()


def test_large_matrices_by_random_projections():
    torch.manual_seed(0)
    shape = (812, 612)
    low = torch.randn(shape[0], 16).double() @ torch.randn(16, shape[1]).double()
    before = torch.random.get_rng_state()
    exact = factorise(low, 16, 0.99)
    assert exact.error / exact.norm < 2e-6
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(factorise(low, 16, 0.99).a, exact.a)
    noisy = low + 0.2 * torch.randn(shape).double()
    best = torch.linalg.svdvals(noisy)[16:].square().sum().sqrt().item()
    assert factorise(noisy, 16, 0.99).error == pytest.approx(best, rel=1e-3)
    assert factorise(low, None, 1 - 1e-8).rank == 16


@pytest.mark.parametrize("shape", [(400, 900), (1300, 700), (700, 1300), (512, 2100)])
@pytest.mark.parametrize("decay", [0.0, 0.3, 1.0, 3.0])
@pytest.mark.parametrize("rank", [1, 8, 40])
def test_the_error_is_within_a_thousandth_of_the_best(shape, decay, rank):
    """From a spectrum that is flat, where projections see least, to one that falls steeply."""
    matrix = with_spectrum(shape, lambda n: torch.arange(1, n + 1).double() ** -decay)
    best = torch.linalg.svdvals(matrix)[rank:].norm().item()
    found = factorise(matrix, rank, 0.99)
    assert found.rank == rank
    assert best * (1 - 1e-9) <= found.error <= best * 1.001
    assert found.error == pytest.approx(
        (matrix - found.b.double() @ found.a.double()).norm().item(), rel=1e-9
    )


def with_spectrum(shape, values):
    torch.manual_seed(0)
    n = min(shape)
    left, right = (torch.linalg.qr(torch.randn(side, n).double())[0] for side in shape)
    return (left * values(n)) @ right.mT


@pytest.mark.parametrize("rows", [300, MANY + 60])
def test_a_rank_that_is_found_keeps_the_energy_and_is_hardly_larger_than_the_least(rows):
    matrix = with_spectrum((rows, 2200), lambda n: torch.arange(1, n + 1).double() ** -1.0)
    squares = torch.linalg.svdvals(matrix).square()
    least = int((squares.cumsum(0) < 0.98 * squares.sum()).sum()) + 1
    found = factorise(matrix, None, 0.98)
    assert (found.error / found.norm) ** 2 <= 0.02 + 1e-6
    assert least <= found.rank <= least * 1.05


MEMORY = """
import re
from pathlib import Path
import torch
from ggez_hub.merging.extraction.factors import factorise

def peak():
    # That of getrusage is the parent's, too.
    return 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

torch.set_num_threads(1)
factorise(torch.randn(50, 60).double(), None, 0.99)
matrix = torch.randn(2000, 2000).double()
# The peak is from now on.
Path("/proc/self/clear_refs").write_text("5")
before = peak()
factorise(matrix, None, 0.99)
print((peak() - before) / matrix.nbytes)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_no_more_is_in_memory_than_documented():
    """Four squares, and what blocks of a fixed size take."""
    command = [sys.executable, "-c", MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 3 < float(done.stdout) < 5


def test_command_line(base, all_changed, tmp_path):
    arguments = ["extract", "--base", str(base), "--finetuned", str(all_changed)]
    out = ["-o", str(tmp_path / "out")]
    run = CliRunner().invoke
    for wrong in ([], ["--rank", "4", "--task-vector"], ["--rank", "0"], ["--rank", "many"]):
        assert run(cli, [*arguments, *wrong, *out]).exit_code == 2
    said = run(cli, [*arguments, "--rank", "4", *out])
    assert said.exit_code == 0, said.output
    assert "left out: logit_scale" in said.stdout
    answer = run(cli, [*arguments, "--rank", "auto", "--json", "-o", str(tmp_path / "auto")])
    document = json.loads(answer.stdout)
    assert document["relative_error"] < 1
    assert any(entry["rank"] for entry in document["tensors"])
    again = run(cli, [*arguments, "--rank", "4", *out])
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    nothing = run(cli, ["extract", "--base", str(base), "--finetuned", str(base), "--task-vector",
                        "-o", str(tmp_path / "nothing")])  # fmt: skip
    assert nothing.exit_code == 1
    assert not (tmp_path / "nothing").exists()


def test_nan_is_named(base, tmp_path):
    def change(state):
        state["token_embedding.weight"][0, 0] = float("nan")

    tuned = write_finetune(tmp_path / "tuned", base, change=change)
    for flag in (["--rank", "2"], ["--task-vector"]):
        arguments = ["extract", "--base", str(base), "--finetuned", str(tuned), *flag]
        said = CliRunner().invoke(cli, [*arguments, "-o", str(tmp_path / "out")])
        assert said.exit_code == 1
        assert "'token_embedding.weight' is not finite" in said.stderr
    assert not (tmp_path / "out").exists()
