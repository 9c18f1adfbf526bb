"""A merge that a device computes: the same bytes as without one.

torch's CPU stands for the device: its tensors go by the device's path, in blocks of their own. Where
tensors are is checked with tensors that claim to be on a GPU.
"""

from __future__ import annotations

import shutil

import peft
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file, save_file
from torch._subclasses.fake_tensor import FakeTensorMode

from ggez_hub.cli.main import cli
from ggez_hub.errors import GgezError
from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, delta_rows, device_rows, devices, kernels, merge
from ggez_hub.merging.adapters.dora import DoraRows
from ggez_hub.merging.adapters.lycoris_on_base import ScaledWeight, TimesWeight
from ggez_hub.merging.adapters.product_rows import Stacked
from ggez_hub.merging.adapters.task_vector import Scattered

from .conftest import DTYPES
from .exactness import WEIGHTS, write_peft
from .test_finetune import write_finetune, write_vector

EMBEDDING = get_family("embedding")
CPU = torch.device("cpu")
TARGETS = r"(visual\.)?transformer\.resblocks\..*\.(c_fc|c_proj)|token_embedding|visual.conv1"
ROWS, COLUMNS = 150, 72


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of a device that are several of the processor's, and several of them in a tensor."""
    monkeypatch.setattr(delta_rows, "BLOCK", 12 * COLUMNS)
    monkeypatch.setattr(kernels, "DEVICE_BLOCK", 40 * COLUMNS)


def draw(*shape, seed=0, dtype=torch.float32):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)).to(dtype).double()


def product(seed=0, scale=0.7, rank=5, rows=ROWS, columns=COLUMNS, dtype=torch.float32):
    left, right = draw(rows, rank, seed=seed, dtype=dtype), draw(rank, columns, seed=seed + 1)
    return delta_rows.Product(left, right, scale)


WEIGHT = draw(ROWS, COLUMNS, seed=9)
KINDS = {
    "product": product(),
    "power of two": product(scale=0.5),
    "long sum": product(rank=300),
    "padded": product(rows=ROWS, columns=COLUMNS - 1),
    "core": delta_rows.Cored(draw(ROWS, 3), draw(3, 3, 3, 3), draw(3, 8), 0.7),
    "hadamard": delta_rows.Hadamard(product(1), product(2), 0.3),
    "kronecker": delta_rows.Kronecker(draw(10, 8), draw(15, 9), 0.3),
    "added": delta_rows.Added(product(1), delta_rows.Whole(WEIGHT)),
    "picked": delta_rows.Picked(product(rows=300), (range(200, 290), range(7, 67))),
    "placed": delta_rows.Placed(product(rows=40), (range(3, 23), range(130, 150))),
    "stacked": Stacked([product(n, rows=8, columns=9) for n in range(ROWS)], 9),
    "dora": DoraRows("w", product(), WEIGHT, WEIGHT, draw(ROWS)),
    "dora of columns": DoraRows("w", product(), WEIGHT, WEIGHT, draw(24)).with_column_norms(),
    "glora": TimesWeight(WEIGHT.float(), draw(COLUMNS, 4), draw(4, COLUMNS), 0.7),
    # What is computed here and moved.
    "inexact product": delta_rows.Product(draw(ROWS, 5) / 3, draw(5, COLUMNS) / 3, 0.7),
    "whole": delta_rows.Whole(WEIGHT),
    "difference": delta_rows.Difference(draw(ROWS, COLUMNS).half(), WEIGHT.half()),
    "ia3": ScaledWeight(WEIGHT.half(), draw(ROWS), of_columns=False),
    "sparse": Scattered(torch.arange(0, ROWS * COLUMNS, 7), draw(1543), COLUMNS),
}  # fmt: skip
MOVED = ("inexact product", "whole", "difference", "ia3", "sparse")


def columns_of(kind):
    return COLUMNS - 1 if kind == "padded" else COLUMNS


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_rows_has_the_same_bits(kind, dtype):
    columns = columns_of(kind)
    base = draw(ROWS, columns, seed=3).to(dtype)
    deltas, betas = [KINDS[kind], product(columns=columns)], [0.4, -0.3]
    with kernels.Workers(base.nbytes, CPU) as workers:
        there, finite = kernels.interpolate_rows(base, deltas, betas, workers)
        here, _ = kernels.interpolate_rows(base, deltas, betas)
        assert finite
        assert torch.equal(here, there)
        assert not torch.equal(here, base)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_the_processor_is_left_in_what_a_device_computes(kind, monkeypatch):
    """These tensors hold no numbers: they know their device, and that two devices do not mix."""
    moved = device_rows.on_device(KINDS[kind], CPU)
    assert isinstance(moved, device_rows.FromProcessor) == (kind in MOVED)
    if kind in MOVED:
        return
    # Questions about numbers.
    monkeypatch.setattr(torch.Tensor, "equal", lambda *_: True)
    monkeypatch.setattr(torch.Tensor, "__bool__", lambda _: True)
    with FakeTensorMode(allow_non_fake_inputs=True):
        out = torch.empty(9, columns_of(kind), dtype=torch.float64, device="cuda")
        device_rows.on_device(KINDS[kind], out.device).write(12, 21, out)
        with pytest.raises(RuntimeError, match="same device"):
            KINDS[kind].write(12, 21, out)


@pytest.fixture(scope="module")
def adapters(bases, tmp_path_factory):
    """A DoRA, a LoHa, a LoKr, a rank-stabilised LoRA of two ranks, a fine-tune and a task vector."""
    folder = tmp_path_factory.mktemp("adapters")
    configs = {
        "dora": peft.LoraConfig(r=4, lora_alpha=5, target_modules=TARGETS, use_dora=True),
        "loha": peft.LoHaConfig(r=2, alpha=5, target_modules=["c_fc"]),
        "lokr": peft.LoKrConfig(r=2, alpha=5, target_modules=["c_fc"]),
        "rslora": peft.LoraConfig(r=3, target_modules=TARGETS, rank_pattern={"c_fc": 5}, use_rslora=True),
    }  # fmt: skip
    found = [write_peft(folder / name, config) for name, config in configs.items()]
    name = "transformer.resblocks.0.mlp.c_fc.weight"
    sparse = {
        f"{name}::indices": torch.arange(0, 900, 3),
        f"{name}::values": torch.linspace(-1, 1, 300),
    }
    for dtype, base in bases.items():
        found.append(write_finetune(folder / f"tuned-{dtype}", base, torch.float32))
        found.append(write_vector(folder / f"vector-{dtype}", base, sparse))
    return {path.name: path for path in found}


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_merge_of_all_kinds_of_adapters_has_the_same_bytes(dtype, bases, adapters, tmp_path):
    chosen = [
        path for name, path in adapters.items() if "-" not in name or name.endswith(f"-{dtype}")
    ]
    merged = []
    for number, device in enumerate((None, CPU)):
        out = tmp_path / str(number)
        weighted = [Adapter(path, 0.7 / (n + 1)) for n, path in enumerate(chosen)]
        report = merge(bases[dtype], weighted, out, EMBEDDING, device=device)
        assert report.touched
        merged.append((out / WEIGHTS).read_bytes())
    assert merged[0] == merged[1]


def test_a_base_in_float8_has_the_same_bytes(base, lora, tmp_path):
    state = load_file(base / WEIGHTS)
    folder = shutil.copytree(base, tmp_path / "float8")
    cast = {n: t.to(torch.float8_e5m2) if "resblocks" in n else t for n, t in state.items()}
    save_file(cast, folder / WEIGHTS)
    merged = []
    for number, device in enumerate((None, CPU)):
        out = tmp_path / str(number)
        merge(folder, [Adapter(lora, 0.4)], out, EMBEDDING, out_dtype="bfloat16", device=device)
        merged.append((out / WEIGHTS).read_bytes())
    assert merged[0] == merged[1]


def test_a_device_that_computes_other_bits_is_refused(monkeypatch):
    devices.require_same_bits(CPU)
    write = delta_rows.InOrder.write

    def almost(self, start, stop, out):
        write(self, start, stop, out)
        out.mul_(1 + 2**-52)

    monkeypatch.setattr(delta_rows.InOrder, "write", almost)
    with pytest.raises(GgezError, match="other bits"):
        devices.require_same_bits(CPU)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--device", "cuda:999"], "no device 'cuda:999' here"),
        (["--device", "mps"], "'mps' is not a device of merges: it has no float64"),
        (["--device", "tpu"], "Give cpu, cuda or auto"),
        (["--device", "cuda", "--method", "ties"], "ties is not computed on a device"),
        (["--device", "cuda", "--as", "peft"], "--device has no meaning"),
    ],
)
def test_a_device_that_cannot_serve_is_refused_with_the_reason(options, said, base, lora, tmp_path):
    paths = [
        "--base",
        str(base),
        "--adapter",
        str(lora),
        "--beta",
        "0.4",
        "-o",
        str(tmp_path / "out"),
    ]
    result = CliRunner().invoke(cli, ["merge", *paths, *options])
    assert result.exit_code in {1, 2}
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_the_command_has_the_same_digest_and_outputs_with_a_device(
    base, lora, tmp_path, monkeypatch
):
    monkeypatch.setattr(devices, "merge_device", lambda *_: CPU)
    used = []
    workers = kernels.Workers.__init__

    def note(self, largest, device=None):
        used.append(device)
        workers(self, largest, device)

    monkeypatch.setattr(kernels.Workers, "__init__", note)
    locks = []
    for device in ("cpu", "cuda"):
        paths = ["--base", base, "--adapter", lora, "--beta", 0.4, "-o", tmp_path / device]
        result = CliRunner().invoke(cli, ["merge", *map(str, paths), "--device", device])
        assert result.exit_code == 0, result.output
        locks.append((tmp_path / device / "ggez.lock").read_text())
    assert used == [None, CPU]
    assert locks[0] == locks[1]
