"""The engine below the merge: blocks, threads, memory of results, and the writer."""

from __future__ import annotations

import hashlib
import json
import math
import os
import subprocess
import sys
from concurrent.futures import Future
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from ggez_hub.errors import GgezError
from ggez_hub.hardware import taken_bytes
from ggez_hub.merging import (
    delta_rows,
    deltas,
    engine,
    kernels,
    side_files,
    stored_tensors,
    writer,
)
from ggez_hub.merging.kernels import interpolate_rows
from ggez_hub.merging.mergekit_methods import StreamedDelta
from ggez_hub.safetensors_header import BadWeights

from .exactness import ulp

DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def numbers(*shape, seed=0, dtype=torch.float64):
    """float32 values in any dtype: the same on every processor, unlike torch.randn."""
    values = np.random.default_rng(seed).standard_normal(shape, dtype=np.float32)
    return torch.from_numpy(np.asarray(values)).to(dtype)


@pytest.fixture
def small_blocks(monkeypatch):
    """Blocks of a few rows, so that small tensors have many."""
    monkeypatch.setattr(delta_rows, "BLOCK", 64)


@pytest.mark.parametrize(
    ("shape", "cut"),
    [
        ((5, 40), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]),
        ((7, 2, 5, 2), [(0, 3), (3, 6), (6, 7)]),
        ((3, 100), [(0, 1), (1, 2), (2, 3)]),
        ((130,), [(0, 60), (60, 120), (120, 130)]),
        # As many rows as a product takes at a time, also where that is up to twice the size.
        ((70, 2), [(0, 60), (60, 70)]),
        ((30, 4), [(0, 12), (12, 24), (24, 30)]),
        ((), [(0, 1)]),
        ((0, 5), []),
        ((5, 0), []),
    ],
)
def test_blocks_are_whole_rows(small_blocks, shape, cut):
    assert list(delta_rows.blocks(shape)) == cut


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.125, 0.7, 3.0])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
def test_beta_in_the_scale_of_a_product_changes_no_bit(scale, dtype):
    generator = torch.Generator().manual_seed(0)
    left, right, base = (
        torch.randn(shape, generator=generator) for shape in ((400, 4), (4, 500), (400, 500))
    )
    product = delta_rows.Product(left.double(), right.double(), scale)
    delta = delta_rows.whole(product, base.shape)
    base = base.to(dtype)
    for beta in (1.0, 0.4, 1 / 3):
        one, other = (
            interpolate_rows(base, [d], [beta])[0] for d in (product, delta_rows.Whole(delta))
        )
        assert torch.equal(one, other)
        scaled = product.times(beta)
        assert (scaled is None) == (scale in {0.7, 3.0})
        if scaled is not None:
            assert torch.equal(delta_rows.whole(scaled, base.shape), delta * beta)


def interpolate(base, deltas, betas):
    """The merge's own sum, of tensors that are there whole."""
    return interpolate_rows(base, [delta_rows.Whole(delta) for delta in deltas], betas)[0]


@settings(max_examples=40, deadline=None)
@given(
    shape=st.lists(st.integers(1, 12), min_size=0, max_size=4).map(tuple),
    dtype=st.sampled_from(DTYPES),
    betas=st.lists(st.floats(-2, 2), min_size=1, max_size=3),
    block=st.sampled_from([1, 7, 64, 1 << 18]),
)
def test_any_shape_in_any_blocks_obeys_the_rule(shape, dtype, betas, block):
    base = numbers(*shape, dtype=dtype)
    parts = [numbers(*shape, seed=n + 1) for n in range(len(betas))]
    before = delta_rows.BLOCK
    delta_rows.BLOCK = block
    try:
        merged = interpolate(base, parts, betas)
    finally:
        delta_rows.BLOCK = before
    added = [beta * part for beta, part in zip(betas, parts, strict=True)]
    reference = base.double() + sum(added)
    largest = torch.stack([base.double().abs(), reference.abs(), *(a.abs() for a in added)]).amax(0)
    assert merged.dtype == dtype
    assert merged.shape == base.shape
    # float64 is its own reference: one rounding more on each side.
    assert ((merged.double() - reference).abs() <= ulp(largest, dtype) * len(betas)).all()
    assert torch.equal(merged, interpolate(base, parts, betas))


@pytest.mark.parametrize("shape", [(9, 40), (33, 3, 3, 3), (5, 1), (1, 7), (70, 33)])
@pytest.mark.parametrize("rank", [1, 3, 17, 128, 129, 300])
def test_a_product_adds_up_in_the_order_of_the_rank(small_blocks, shape, rank):
    """Kernels of other processors then have no other order to add up in."""
    n, columns = delta_rows.matrix_shape(shape)
    left, right = numbers(n, rank, seed=1), numbers(rank, columns, seed=2)
    total = torch.zeros(n, columns, dtype=torch.float64)
    for start in range(0, rank, delta_rows.Product.LONGEST_SUM):
        part = torch.zeros_like(total)
        for k in range(start, min(start + delta_rows.Product.LONGEST_SUM, rank)):
            part += left[:, k : k + 1] * right[k : k + 1]
        total += part
    product = delta_rows.whole(delta_rows.Product(left, right, 0.3), shape)
    assert torch.equal(product, (total * 0.3).reshape(shape))


@pytest.mark.parametrize("shape", [(130, 33), (70, 2048), (12, 8)])
@pytest.mark.parametrize("rank", [1, 16, 130])
def test_a_kernel_of_another_order_is_not_used(monkeypatch, shape, rank):
    product = delta_rows.Product(numbers(shape[0], rank), numbers(rank, shape[1], seed=1), 0.7)
    expected = delta_rows.whole(product, shape)
    monkeypatch.setattr(delta_rows, "scales_last", lambda *_: False)
    assert torch.equal(delta_rows.whole(product, shape), expected)
    monkeypatch.setattr(delta_rows, "adds_in_order", lambda *_: False)
    assert torch.equal(delta_rows.whole(product, shape), expected)


def test_a_kernel_of_another_order_is_recognised(monkeypatch):
    sizes = delta_rows.MANY, 16, 512, torch.get_num_threads()
    monkeypatch.setattr(torch.Tensor, "__matmul__", lambda a, b: torch.mm(a.flip(1), b.flip(0)))
    assert not delta_rows.adds_in_order.__wrapped__(*sizes)
    monkeypatch.undo()
    assert delta_rows.adds_in_order.__wrapped__(*sizes) == delta_rows.adds_in_order(*sizes)
    # One that multiplies a matrix in place of the sums.
    monkeypatch.setattr(
        torch.Tensor, "addmm_", lambda o, a, b, beta, alpha: torch.mm(a * alpha, b, out=o)
    )
    assert not delta_rows.scales_last.__wrapped__(*sizes)


@pytest.mark.slow
def test_products_have_the_same_bits_on_other_processors():
    """Sizes that fill no register, and a rank beyond a kernel's panel, in float64."""
    code = (
        "import hashlib, numpy as np, torch\n"
        "from ggez_hub.merging.delta_rows import Cored, Hadamard, Product, whole\n"
        "g = np.random.default_rng(3)\n"
        "rand = lambda *s: torch.from_numpy(g.standard_normal(s, dtype=np.float32)).double()\n"
        "for n, rank, c in ((257, 16, 33), (64, 300, 2048), (5, 17, 1), (129, 64, 999)):\n"
        "    product = whole(Product(rand(n, rank), rand(rank, c), 0.7), (n, c))\n"
        "    print(hashlib.sha256(product.numpy().tobytes()).hexdigest())\n"
        "cored = Cored(rand(70, 9), rand(9, 9, 3, 3), rand(9, 33), 0.3)\n"
        "both = whole(Hadamard(cored, Product(rand(70, 5), rand(5, 297), 1), 0.7), (70, 297))\n"
        "print(hashlib.sha256(both.numpy().tobytes()).hexdigest())\n"
    )
    kinds = (
        {"MKL_CBWR": "COMPATIBLE", "ATEN_CPU_CAPABILITY": "default", "OMP_NUM_THREADS": "1"},
        {"MKL_CBWR": "AVX2", "ATEN_CPU_CAPABILITY": "avx2", "OMP_NUM_THREADS": "1"},
        {"OMP_NUM_THREADS": "2"},
    )
    answers = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={k: v for k, v in os.environ.items() if not k.startswith("MKL_")} | kind,
            capture_output=True, text=True, check=True,
        ).stdout
        for kind in kinds
    }  # fmt: skip
    assert len(answers) == 1
    assert len(answers.pop().split()) == 5


def test_difference_is_exact(small_blocks):
    regional = numbers(9, 40, seed=1, dtype=torch.bfloat16)
    base = numbers(9, 40, dtype=torch.float16)
    answer = delta_rows.whole(delta_rows.Difference(regional, base), (9, 40))
    assert torch.equal(answer, regional.double() - base.double())


@pytest.mark.parametrize("value", [1e30, math.nan, math.inf])
@pytest.mark.parametrize("place", [0, 100, 359])
def test_overflow_in_any_block_is_seen(small_blocks, value, place):
    delta = numbers(9, 40, seed=1)
    delta.view(-1)[place] = value
    base = numbers(9, 40, dtype=torch.float16)
    assert kernels.interpolate_rows(base, [delta_rows.Whole(numbers(9, 40))], [1.0])[1]
    assert not kernels.interpolate_rows(base, [delta_rows.Whole(delta)], [1.0])[1]


def test_the_last_finite_number_is_finite():
    """65519 is rounded to float16's largest number, 65520 to infinity."""
    base = torch.zeros(2, 2, dtype=torch.float16)
    for top, finite in ((65519.0, True), (65520.0, False)):
        delta = torch.full((2, 2), top, dtype=torch.float64)
        merged, answer = kernels.interpolate_rows(base, [delta_rows.Whole(delta)], [1.0])
        assert answer is finite
        assert bool(torch.isfinite(merged).all()) is finite


class TestWorkers:
    def test_every_number_once_and_errors_come_out(self):
        seen = []
        with kernels.Workers(1) as workers:
            workers.each(seen.append, range(100))
            with pytest.raises(ZeroDivisionError):
                workers.each(lambda n: 1 // (n - 50), range(100))
        assert sorted(seen) == list(range(100))

    def test_torch_keeps_its_threads(self):
        before = torch.get_num_threads()
        try:
            torch.set_num_threads(2)
            with kernels.Workers(1) as workers:
                inside = set()
                workers.each(lambda _: inside.add(torch.get_num_threads()), range(20))
                # Its own thread too: idle threads of torch would keep the cores busy.
                assert inside | {torch.get_num_threads()} == {1}
            assert torch.get_num_threads() == 2
        finally:
            torch.set_num_threads(before)

    def test_results_take_turns_in_two_slots(self):
        slots = kernels.Slots(64)
        like = torch.zeros(4, 4, dtype=torch.float16)
        first, second = slots.take(like), slots.take(like)
        assert first.data_ptr() != second.data_ptr()
        slots.give_back(torch.zeros(3))
        slots.give_back(first)
        assert slots.take(torch.zeros(8)).data_ptr() == first.data_ptr()


def test_a_streamed_delta_is_a_tensor_for_whoever_does_not_know_it(small_blocks):
    values = numbers(9, 40)
    with kernels.Workers(1) as workers:
        delta = StreamedDelta.of(delta_rows.Whole(values), (9, 40), workers)
        assert (delta.shape, delta.dtype, delta.device.type) == ((9, 40), torch.float64, "cpu")
        assert torch.equal(delta * 2 + values, values * 3)
        assert torch.equal(delta.reshape(-1)[50:60], values.reshape(-1)[50:60])


@pytest.fixture
def model(tmp_path):
    """Two files, more tensors than one run of the executor takes, integers and a number."""
    state = {f"layers.{n}.weight": numbers(6, 8, seed=n, dtype=torch.float16) for n in range(150)}
    folder = tmp_path / "base"
    (folder / "part").mkdir(parents=True)
    save_file(state, folder / "a.safetensors", metadata={"format": "pt"})
    rest = {"scale": torch.tensor(2.5), "ids": torch.arange(7), "norm": torch.ones(5).bfloat16()}
    save_file(rest, folder / "part" / "b.safetensors")
    return deltas.WeightIndex(folder, ("a.safetensors", "part/b.safetensors"))


class ManyRows(deltas.Delta):
    """A Delta that never gives a whole tensor."""

    def __init__(self, base, values):
        super().__init__("rows", base)
        self.values = values

    @property
    def touched(self):
        return frozenset(self.values)

    def tensor(self, name):
        raise AssertionError(f"{name} was asked for as a whole")

    def by_rows(self, name):
        return delta_rows.Whole(self.values[name])


def weigh(delta, beta):
    return engine.Weighted(delta, dict.fromkeys(delta.touched, beta))


@pytest.mark.parametrize("threads", [1, 2])
def test_executor_in_parts_writes_every_tensor(small_blocks, model, tmp_path, threads):
    first = ManyRows(
        model, {f"layers.{n}.weight": numbers(6, 8, seed=n + 1) for n in range(0, 150, 2)}
    )
    second = ManyRows(
        model, {"layers.4.weight": numbers(6, 8, seed=9), "part/scale": numbers(seed=5)}
    )
    told = []
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        weighted = [weigh(first, 0.5), weigh(second, -0.25)]
        engine.execute(model, weighted, tmp_path, wrote=told.append)
    finally:
        torch.set_num_threads(before)
    out = load_file(tmp_path / "a.safetensors")
    for name, stored in load_file(model.folder / "a.safetensors").items():
        adapters = [(a, b) for a, b in ((first, 0.5), (second, -0.25)) if name in a.touched]
        betas = [beta for _, beta in adapters]
        expected = interpolate(stored, [a.values[name] for a, _ in adapters], betas)
        assert torch.equal(out[name], expected if adapters else stored), name
    rest = load_file(tmp_path / "part" / "b.safetensors")
    assert torch.equal(rest["ids"], torch.arange(7))
    assert rest["scale"] == torch.tensor(2.5) - 0.25 * second.values["part/scale"].float()
    assert sum(told) == sum(info.nbytes for info in model.values())
    assert len(told) == len(model)
    files = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.safetensors")}
    assert files - {"base/a.safetensors", "base/part/b.safetensors"} == {
        "a.safetensors", "part/b.safetensors",
    }  # fmt: skip


def open_files():
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def test_a_broken_result_stops_the_merge_and_frees_everything(model, tmp_path):
    values = {f"layers.{n}.weight": numbers(6, 8, seed=n) for n in range(20)}
    values["layers.7.weight"][3, 3] = 1e6
    before = open_files()
    with pytest.raises(GgezError, match=r"layers\.7\.weight"):
        engine.execute(model, [weigh(ManyRows(model, values), 1.0)], tmp_path / "out")
    # The index of the base keeps its files open, and it alone.
    assert open_files() <= before + len(model.files)
    # The same process can go on.
    del values["layers.7.weight"]
    engine.execute(model, [weigh(ManyRows(model, values), 1.0)], tmp_path / "again")


def test_holes_of_the_base_are_holes_of_the_result(tmp_path):
    size = 1 << 24
    tensors = {n: {"dtype": "F16", "shape": [size // 4], "data_offsets": [k * size // 2, (k + 1) * size // 2]}
               for k, n in enumerate("ab")}  # fmt: skip
    header = json.dumps(tensors).encode()
    header += b" " * (-len(header) % 8)
    path = tmp_path / "base" / "a.safetensors"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.seek(size // 4, os.SEEK_CUR)
        file.write(b"\1" * 100)
        file.truncate(8 + len(header) + size)
    base = deltas.WeightIndex(path.parent, (path.name,))
    rows = ManyRows(base, {"a": torch.full((size // 4,), 2.0, dtype=torch.float64)})
    (tmp_path / "out").mkdir()
    engine.execute(base, [weigh(rows, 0.5)], tmp_path / "out")
    out = tmp_path / "out" / path.name
    merged = load_file(out)
    assert torch.equal(merged["b"], load_file(path)["b"])
    assert merged["a"].min() == 1
    assert size // 2 <= taken_bytes(out) < size * 3 // 4
    side_files.copy_file(path, tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == path.read_bytes()
    assert taken_bytes(tmp_path / "copy") < size // 8


def test_a_base_that_is_cut_during_a_merge_is_an_error(model, tmp_path):
    """Not a signal, which a mapping would end in, and not zeros."""
    file = model.files["a.safetensors"]
    os.truncate(file.path, file.nbytes - 1)
    with pytest.raises(BadWeights, match="shorter"):
        model.read(max(file.tensors, key=lambda name: file.tensors[name].end))
    with pytest.raises(OSError, match="shorter"):
        engine.execute(model, [], tmp_path / "out")


@pytest.mark.parametrize("dtype", stored_tensors.TORCH_DTYPE.values())
def test_tensors_of_any_dtype_and_place(tmp_path, dtype):
    """The odd byte before it leaves a tensor where its numbers would not be."""
    raw = np.random.default_rng(0).integers(0, 2, 48, dtype=np.uint8)
    state = {"a": torch.from_numpy(raw[:1]), "b": torch.from_numpy(raw).view(dtype).reshape(2, -1)}
    path = tmp_path / "a.safetensors"
    save_file(state | {"none": state["b"][:0]}, path)
    index = deltas.WeightIndex(tmp_path, (path.name,))
    for name, expected in load_file(path).items():
        found = index.read(name)
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape)
        assert bytes(found.view(-1).view(torch.uint8)) == bytes(expected.view(-1).view(torch.uint8))
    # As a file that is opened read-only may be: changes stay in memory.
    index.read("b").zero_()
    assert torch.equal(index.read("b").view(torch.uint8), state["b"].view(torch.uint8))


def digest(folder):
    paths = sorted(folder.rglob("*.safetensors"))
    return [hashlib.sha256(path.read_bytes()).hexdigest() for path in paths]


class TestWriter:
    def test_missing_tensors_are_named(self, model, tmp_path):
        mirror = writer.MirrorWriter(model, tmp_path / "out")
        mirror.save_tensor("part/ids", torch.arange(7))
        with pytest.raises(writer.GgezError, match=r"152 tensors were not written: layers\."):
            mirror.finalize()
        mirror.close()

    @pytest.mark.parametrize("wrong", [torch.arange(8), torch.zeros(7)])
    def test_another_shape_or_dtype_is_refused(self, model, tmp_path, wrong):
        mirror = writer.MirrorWriter(model, tmp_path / "out")
        with pytest.raises(writer.GgezError, match="part/ids"):
            mirror.save_tensor("part/ids", wrong)
        mirror.close()

    def test_a_disk_that_fills_up_fails_the_merge(self, model, tmp_path):
        """A limit of the process on file sizes stands for the disk."""
        code = (
            "import json, resource, signal, sys\n"
            "from pathlib import Path\n"
            "import torch\n"
            "from ggez_hub.merging import deltas, writer\n"
            "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
            "folder, *files = json.loads(sys.argv[1])\n"
            "index = deltas.WeightIndex(Path(folder), tuple(files))\n"
            "mirror = writer.MirrorWriter(index, Path(sys.argv[2]))\n"
            "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
            "try:\n"
            "    for name in index:\n"
            "        mirror.save_tensor(name, index.read(name))\n"
            "    mirror.finalize()\n"
            "except OSError as error:\n"
            "    print(error.strerror)\n"
            "finally:\n"
            "    mirror.close()\n"
        )
        what = json.dumps([str(model.folder), *model.files])
        done = subprocess.run(
            [sys.executable, "-c", code, what, str(tmp_path / "out")],
            check=True, capture_output=True, text=True, timeout=600,
        )  # fmt: skip
        assert done.stdout.strip() == "File too large"

    def test_blocks_in_any_order_and_an_error_of_another_thread(self, model, tmp_path):
        mirror = writer.MirrorWriter(model, tmp_path / "out")
        name, done, failed = "layers.3.weight", Future(), Future()
        sink, values = mirror.sink(name), model.read(name)
        for row in (5, 0, 3, 1, 4, 2):
            sink.write(row * 8, values[row : row + 1])
        mirror.expect(name, done)
        done.set_result(None)
        for other in set(model) - {name}:
            mirror.copy_tensor(other)
        mirror.finalize()
        assert digest(tmp_path / "out") == digest(model.folder)
        mirror = writer.MirrorWriter(model, tmp_path / "again")
        mirror.expect(name, failed)
        failed.set_exception(OSError("no room"))
        with pytest.raises(OSError, match="no room"):
            mirror.wait(0)
        mirror.close()


def test_a_part_of_a_model_has_its_files_in_their_order(tmp_path):
    """Whatever the order of hashes: shards are written one after the other."""
    paths = tuple(f"{number}.safetensors" for number in range(9, 0, -1))
    for path in paths:
        save_file({f"w{path}": torch.ones(1)}, tmp_path / path)
    index = deltas.WeightIndex(tmp_path, paths)
    assert tuple(index.only(index.file_of).files) == paths


def test_neither_mergekits_planner_nor_peft_is_imported():
    code = (
        "import sys\n"
        "from ggez_hub.merging.merge import load_engine\n"
        "load_engine()\n"
        "print(*(name for name in sys.modules if name.startswith(('mergekit', 'peft', 'transf'))))\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    found = set(result.stdout.split())
    assert {"mergekit.graph", "mergekit.merge_methods"} <= found
    assert not found & {
        *(f"mergekit.{name}" for name in ("plan", "config", "io", "common", "architecture")),
        "peft",
        "transformers",
    }
