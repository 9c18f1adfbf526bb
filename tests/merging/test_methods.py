"""task_arithmetic and ties against their papers in float64, with one region and with three."""

from __future__ import annotations

import hashlib
import json
import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from mergekit.merge_methods import get
from safetensors.torch import load_file

from ggez_hub.cli.main import cli
from ggez_hub.errors import UsageProblem
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, delta_rows, merge
from ggez_hub.merging.delta_rows import Whole, whole
from ggez_hub.merging.engine import registered_method
from ggez_hub.merging.kernels import Workers
from ggez_hub.merging.methods import METHODS, Method
from ggez_hub.merging.sparsity import Dropped, trim

from .conftest import DTYPES
from .exactness import WEIGHTS, assert_exact, load_pair
from .test_finetune import write_finetune

EMBEDDING = get_family("embedding")
BETAS = (0.9, 0.5, 0.3)
CHANGED = (
    ("logit_scale", "visual.conv1.weight", "ln_final.weight"),
    ("logit_scale", "visual.conv1.weight", "token_embedding.weight"),
    ("visual.conv1.weight", "ln_final.weight"),
)


@pytest.fixture(scope="module")
def regions(bases, tmp_path_factory):
    """Three regions, each with tensors of its own and some that another changes too."""
    folder = tmp_path_factory.mktemp("regions")

    def of(dtype):
        place = folder / dtype
        if not place.exists():
            place.mkdir()
            for number, changed in enumerate(CHANGED):
                write_finetune(
                    place / str(number), bases[dtype], torch.float32, changed=changed, seed=number
                )
        return [place / str(number) for number in range(len(CHANGED))]

    return of


@pytest.fixture
def workers():
    with Workers(0) as threads:
        yield threads


def reference(method, base, deltas, betas):
    """theta_global + sum beta * Delta; for TIES of those alone that have the sum's sign."""
    weighted = torch.stack([beta * delta for beta, delta in zip(betas, deltas, strict=True)])
    if method == "ties":
        elected = torch.where(weighted.sum(0) >= 0, 1.0, -1.0)
        weighted = weighted * (weighted.sign() == elected)
    return base + weighted.sum(0)


def test_every_method_that_is_offered_is_registered():
    assert all(get(registered_method(name)) for name in METHODS)


def kept(method, deltas, name):
    """The Deltas as the paper leaves them, each with all of its elements in memory."""
    chosen = Method.parse(method)
    for number, delta in enumerate(deltas):
        flat, density = delta.flatten(), Fraction(str(chosen.density))
        if chosen.seed is None:
            order = np.argsort(-flat.abs().numpy(), kind="stable")
            mask = torch.zeros_like(flat)
            mask[order[: math.ceil(density * flat.numel())].copy()] = 1
        else:
            key = hashlib.sha256(f"{chosen.seed}\0{number}\0{name}".encode()).digest()
            stream = np.random.Philox(key=np.frombuffer(key[:16], "<u8").astype(np.uint64))
            below = stream.random_raw(flat.numel()) < np.uint64(density * 2**64)
            mask = torch.from_numpy(below).double() / float(density)
        yield (flat * mask).reshape(delta.shape)


WHOLE = ("task_arithmetic", "ties", "ggez_linear")


@pytest.mark.parametrize(
    "method", [*WHOLE, "ties(0.3)", "ties(0.001)", "dare(0.3, 7)", "dare(0.9, 0)"]
)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("count", [1, 3])
def test_equals_the_paper(method, dtype, count, regions, bases, tmp_path):
    folders, betas = regions(dtype)[:count], BETAS[:count]
    adapters = [Adapter(f, b) for f, b in zip(folders, betas, strict=True)]
    merge(bases[dtype], adapters, tmp_path / "out", EMBEDDING, method)
    base, out = load_pair(bases[dtype], tmp_path / "out")
    tuned = [load_file(folder / WEIGHTS) for folder in folders]
    expected = {}
    for name, tensor in base.items():
        wide = tensor.double()
        deltas = [t[name].double() - wide for t in tuned]
        if method not in WHOLE:
            deltas = list(kept(method, deltas, name))
        expected[name] = reference(method.partition("(")[0], wide, deltas, betas)
    changed = assert_exact(base, out, expected, 1.0)
    # Where elements are left out, a tensor of one element may keep it or not.
    assert changed
    assert method not in WHOLE or {"logit_scale", "visual.conv1.weight"} <= changed
    assert "text.position_ids" not in changed


def test_of_equally_large_elements_the_first_ones_stay(workers):
    values = torch.tensor([[1.0, -2.0, 0.0], [2.0, 1.0, -1.0], [-0.0, 2.0, 1.0]]).double()
    for count, expected in enumerate(
        ([0, -2, 0, 0, 0, 0, 0, 0, 0], [0, -2, 0, 2, 0, 0, 0, 0, 0], [0, -2, 0, 2, 0, 0, 0, 2, 0],
         [1, -2, 0, 2, 0, 0, 0, 2, 0], [1, -2, 0, 2, 1, 0, 0, 2, 0]), 1
    ):  # fmt: skip
        trimmed = trim(Whole(values), (3, 3), Fraction(count, 9), workers)
        assert whole(trimmed, (3, 3)).flatten().tolist() == expected


def test_a_mask_depends_on_no_cut_and_no_thread(monkeypatch, workers):
    values = torch.randn(301, 7, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    values[100:200] = 0.25

    def both():
        dropped = Dropped(Whole(values), 7, Fraction(1, 3), 5, 1, "a.weight")
        trimmed = trim(Whole(values), values.shape, Fraction(1, 2), workers)
        return [whole(rows, values.shape) for rows in (dropped, trimmed)]

    at_once = both()
    monkeypatch.setattr(delta_rows, "BLOCK", 30)
    assert all(map(torch.equal, at_once, both()))
    assert 0.3 < float((at_once[0] != 0).double().mean()) < 0.37
    assert int((at_once[1] != 0).sum()) == math.ceil(values.numel() / 2)
    others = [
        Dropped(Whole(values), 7, Fraction(1, 3), *key)
        for key in ((6, 1, "a.weight"), (5, 0, "a.weight"), (5, 1, "b.weight"))
    ]
    assert not any(torch.equal(at_once[0], whole(rows, values.shape)) for rows in others)


@pytest.mark.parametrize(
    ("text", "written"),
    [("ties", "ties"), ("ties(1.0)", "ties"), ("ties( .20)", "ties(0.2)"),
     ("dare(5e-1,07)", "dare(0.5, 7)"), ("dare(1, 7)", "dare(1.0, 7)")],
)  # fmt: skip
def test_a_method_is_written_in_one_way(text, written):
    assert str(Method.parse(text)) == written
    assert Method.parse(written) == Method.parse(text)


@pytest.mark.parametrize(
    "text",
    ["dare", "dare(0.5)", "ties(0)", "ties(1.5)", "ties(nan)", "ties()", "ties(0.2, 1)", "ties(0.2",
     "dare(0.5, -1)", "dare(0.5, 1.5)", "task_arithmetic(0.5)", "ggez_linear(1)"],
)  # fmt: skip
def test_what_a_method_is_not_given_right_is_named(text):
    with pytest.raises(UsageProblem) as caught:
        Method.parse(text)
    assert text in caught.value.message
    assert text.partition("(")[0] in caught.value.hint


@pytest.mark.parametrize("method", ["ties(0.5)", "dare(0.5, 1)"])
def test_no_adapter_form_holds_a_share_of_a_delta(method, base, lora, tmp_path):
    inputs = ["--base", str(base), "--adapter", str(lora), "--beta", "1", "--method", method]
    result = CliRunner().invoke(
        cli, ["merge", *inputs, "--as", "peft", "-o", str(tmp_path / "out")]
    )
    assert result.exit_code == 2
    assert f"--as peft cannot hold what {method} makes of an adapter" in result.stderr
    assert not (tmp_path / "out").exists()


def test_density_and_seed_are_in_lock_and_digest(base, lora, tmp_path):
    digests = set()
    for number, method in enumerate(["ties", "ties(0.50)", "dare(.5, 1)", "dare(0.5, 2)"]):
        out = tmp_path / str(number)
        inputs = ["--base", str(base), "--adapter", str(lora), "--beta", "1", "--method", method]
        result = CliRunner().invoke(cli, ["merge", *inputs, "--json", "-o", str(out)])
        assert result.exit_code == 0, result.output
        record = json.loads((out / "ggez.lock").read_text())["merge"]
        assert record["method"] == str(Method.parse(method))
        digests.add(json.loads(result.stdout)["merge_digest"])
    assert len(digests) == 4


@pytest.mark.parametrize("method", ["dare_ties", "slerp", "linear"])
def test_other_methods_are_mergekits_own(method, base, lora, tmp_path):
    with pytest.raises(UsageProblem) as caught:
        merge(base, [Adapter(lora, 1.0)], tmp_path / "out", EMBEDDING, method)
    assert method in caught.value.message
    assert "mergekit" in caught.value.hint
