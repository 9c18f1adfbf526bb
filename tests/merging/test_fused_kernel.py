"""The compiled kernel of the extra `fast`: the bits of the ordinary path, or it is not used."""

from __future__ import annotations

import dataclasses
import platform
import sys

import pytest
import torch

from ggez_hub.families import get_family
from ggez_hub.merging import Adapter, delta_rows, fused_kernel, merge
from ggez_hub.merging.kernels import interpolate_rows
from ggez_hub.safetensors_header import TensorInfo

from .conftest import DTYPES
from .exactness import WEIGHTS

pytest.importorskip("llvmlite", reason="the extra [fast] is not installed")

# As LLVM names them: this machine, AVX2, and what every x86-64 has.
PROCESSORS = {"this": (None, None)}
if platform.machine() in {"x86_64", "AMD64"}:
    PROCESSORS |= {"avx2": ("x86-64-v3", "+avx,+avx2,+fma,+f16c"), "any": ("x86-64", "")}
KERNELS = [(p, name) for p in PROCESSORS for name in DTYPES if (p, name) != ("any", "F16")]
BITS = {2: torch.int16, 4: torch.int32}
ROWS = 61


@pytest.fixture(scope="module", params=KERNELS, ids="-".join)
def compiled(request):
    """A kernel and the dtype of the bases that it is for."""
    processor, name = request.param
    return fused_kernel.compiled_kernel(name, *PROCESSORS[processor]), DTYPES[name]


def draw(*shape, size=1.0, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * size


def compare(kernel, base, left, right, scale=0.7, beta=0.4):
    """Whether the merge is finite, after a look at each of its bits."""
    product = delta_rows.Product(left.double(), right.double(), scale)
    expected, finite = interpolate_rows(base, [product], [beta])
    found, bits = torch.empty_like(base), BITS[base.element_size()]
    assert kernel.fill(base, [(product, beta)])(0, len(base), found) is finite
    if finite:
        assert found.view(bits).equal(expected.view(bits))
        assert not found.equal(base)
    return finite


@pytest.mark.parametrize(
    ("rank", "factors"), [(1, "F16"), (5, "F32"), (16, "F32"), (128, "BF16")], ids=str
)
@pytest.mark.parametrize("columns", [16, 77, 600])
def test_every_bit_is_that_of_the_ordinary_path(compiled, columns, rank, factors):
    kernel, dtype = compiled
    base, left, right = draw(ROWS, columns), draw(ROWS, rank, seed=1), draw(rank, columns, seed=2)
    # From the subnormal numbers of 16 bits to large ones, and zeros of both signs.
    base, left = base * torch.logspace(-9, 3, columns), left * torch.logspace(-9, 1, ROWS)[:, None]
    base[:, ::7], left[::5], right[:, ::3] = -0.0, 0.0, -0.0
    cast = left.to(DTYPES[factors]), right.to(DTYPES[factors])
    for scale, beta in ((0.7, 0.4), (2.0, -0.5), (1.0, 1.0)):
        assert compare(kernel, base.to(dtype), *cast, scale, beta)


def test_what_is_not_finite_is_seen_wherever_it_is(compiled):
    kernel, dtype = compiled
    base, left, right = draw(ROWS, 77).to(dtype), draw(ROWS, 5, seed=1), draw(5, 77, seed=2)
    assert compare(kernel, base, left, right)
    for row, column in ((0, 0), (ROWS - 1, 76), (30, 40), (59, 71)):
        for number in (float("inf"), -float("inf"), float("nan")):
            broken = base.clone()
            broken[row, column] = number
            assert not compare(kernel, broken, left, right)


def test_a_sum_that_the_dtype_cannot_hold_is_not_finite(compiled):
    kernel, dtype = compiled
    largest = torch.full((ROWS, 77), torch.finfo(dtype).max, dtype=dtype)
    one = draw(ROWS, 2, size=0).half()
    assert not compare(kernel, largest, one + 2e4, draw(2, 77, size=0) + 2e34, 1.0, 1.0)
    # One more than half a unit in the last place is rounded up to infinity.
    unit = {2: {torch.float16: 32.0, torch.bfloat16: 2.0**120}, 4: {torch.float32: 2.0**104}}
    step = unit[dtype.itemsize][dtype]
    right = torch.zeros(2, 77)
    right[0, 33] = step / 2
    assert not compare(kernel, largest, one + 1, right, 1.0, 1.0)
    right[0, 33] = step / 4
    product = delta_rows.Product((one + 1).double(), right.double(), 1.0)
    assert kernel.fill(largest, [(product, 1.0)])(0, ROWS, torch.empty_like(largest))


def test_a_kernel_with_other_bits_is_not_used(compiled):
    kernel, dtype = compiled
    assert fused_kernel.has_same_bits(kernel, dtype)
    almost = dataclasses.replace(kernel, call=lambda *a: kernel.call(*a[:-1], a[-1] * (1 + 2**-9)))
    silent = dataclasses.replace(kernel, call=lambda *a: kernel.call(*a) or 1)
    assert not fused_kernel.has_same_bits(almost, dtype)
    assert not fused_kernel.has_same_bits(silent, dtype)


@pytest.mark.skipif("any" not in PROCESSORS, reason="another kind of processor")
def test_a_processor_that_cannot_convert_float16_has_none_for_it():
    assert fused_kernel.compiled_kernel("F16", *PROCESSORS["any"]) is None


def test_what_it_is_not_for():
    kernel, base = fused_kernel.compiled_kernel("F32"), draw(ROWS, 77)

    def product(rank=4, divisor=1):
        left, right = draw(ROWS, rank).double() / divisor, draw(rank, 77).double()
        return delta_rows.Product(left, right, 0.7)

    fill = kernel.fill(base, [(product(), 0.4)])
    assert fill(0, 6, torch.empty(6, 77)) is True
    assert fill(0, 5, torch.empty(5, 77)) is None, "a tile has more rows"
    for other in (
        [(product(rank=0), 0.4)],
        [(product(rank=129), 0.4)],
        [(product(divisor=3), 0.4)],
        [(delta_rows.Whole(base.double()), 0.4)],
        [(delta_rows.InOrder(product(), base.device), 0.4)],
        [(product(), 0.4), (product(), 0.3)],
    ):
        assert kernel.fill(base, other) is None
    assert kernel.fill(base.T.contiguous().T, [(product(), 0.4)]) is None
    assert kernel.fill(base[:, :7].contiguous(), [(product(), 0.4)]) is None


@pytest.mark.parametrize("name", DTYPES)
def test_a_merge_has_the_same_bytes_with_it(name, bases, lora, tmp_path, monkeypatch):
    """In blocks of some rows, of which the last ones are too few for it, on one and two threads."""
    monkeypatch.setattr(delta_rows, "BLOCK", 60 * 40)
    before, filled, merged = torch.get_num_threads(), [], set()
    fill = fused_kernel.Kernel.fill

    def counted(kernel, stored, weighted):
        found = fill(kernel, stored, weighted)
        filled.append(found is not None)
        return found

    monkeypatch.setattr(fused_kernel.Kernel, "fill", counted)
    try:
        for least, threads in ((fused_kernel.LEAST, 2), (0, 1), (0, 2)):
            monkeypatch.setattr(fused_kernel, "LEAST", least)
            torch.set_num_threads(threads)
            out = tmp_path / f"{least}-{threads}"
            assert least == 0 or not filled
            merge(bases[name], [Adapter(lora, 0.4)], out, get_family("embedding"))
            merged.add((out / WEIGHTS).read_bytes())
    finally:
        torch.set_num_threads(before)
    assert any(filled)
    assert len(merged) == 1


def test_it_is_compiled_only_for_a_dtype_with_many_elements(monkeypatch):
    large = TensorInfo("BF16", (1 << 14, fused_kernel.LEAST >> 14), 0, 2 * fused_kernel.LEAST)
    other = dataclasses.replace(large, dtype="F64")
    few = dataclasses.replace(large, dtype="F32", shape=(8, 8))
    assert list(fused_kernel.kernels_for([few, large, other])) == [torch.bfloat16]
    assert not fused_kernel.kernels_for([few, other])
    # As if llvmlite were not installed.
    monkeypatch.setitem(sys.modules, "llvmlite", None)
    monkeypatch.delitem(sys.modules, "ggez_hub.merging.kernel_code", raising=False)
    monkeypatch.delattr("ggez_hub.merging.kernel_code", raising=False)
    fused_kernel.checked_kernel.cache_clear()
    assert not fused_kernel.kernels_for([large])
    fused_kernel.checked_kernel.cache_clear()
