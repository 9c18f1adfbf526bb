"""Delta of one tensor, some rows at a time: no tensor's Delta is ever in memory in full.

A tensor of shape (n, *rest) is taken as a matrix of n rows. The cut into blocks of rows depends on
the shape alone, so that the number of threads cannot change a bit of the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from copy import copy
from functools import cache
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import torch

# Elements of a block: 4 MB in float64, twice that where it is then a multiple of MANY rows. Blocks of
# 1 MB stay in the cache of a core, but two threads then wait for the interpreter's lock so often that
# they are hardly faster than one.
BLOCK = 1 << 19
# The rows that a product of matrices takes at a time: see `Product`.
MANY, FEW = 60, 12


class RowDelta(Protocol):
    """Delta of one tensor; several threads may ask for rows at a time."""

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        """Put the rows from `start` to `stop` into `out`: float64, contiguous, (rows, columns)."""


class Elementwise:
    """A RowDelta by operations on single elements: the same bits on every device.

    Each is rounded by IEEE 754 and fused with none that could change its result. What it needs is
    its attributes: tensors, and RowDeltas of any kind. A division has two tensors: CUDA multiplies
    by the inverse of a number.
    """


def matrix_shape(shape: Sequence[int]) -> tuple[int, int]:
    """The rows and columns that a tensor is taken as; a number is one row of one."""
    return (shape[0], math.prod(shape[1:])) if shape else (1, 1)


def blocks(shape: Sequence[int], size: int = 0) -> Iterator[tuple[int, int]]:
    """The first row of each block and the row after its last one.

    As many at a time as have about `size` elements, and one at least.
    """
    rows, columns = matrix_shape(shape)
    if columns:
        step = max(1, BLOCK // columns)
        if MANY // 2 <= step < MANY:
            step = MANY
        step -= step % (MANY if step >= MANY else FEW if step >= FEW else 1)
        step *= max(1, size // (step * columns))
        yield from ((start, min(start + step, rows)) for start in range(0, rows, step))


def whole(delta: RowDelta, shape: Sequence[int]) -> torch.Tensor:
    """All rows at once: float64, in `shape`; the same bits as block by block."""
    import torch

    out = torch.empty(matrix_shape(shape), dtype=torch.float64)
    for start, stop in blocks(shape):
        delta.write(start, stop, out[start:stop])
    return out.reshape(tuple(shape))


class Whole:
    """A Delta that is in memory already."""

    def __init__(self, values: torch.Tensor) -> None:
        """`values` is float64, of any shape."""
        self._values = values.reshape(matrix_shape(values.shape))

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        out.copy_(self._values[start:stop])


class Difference:
    """regional - base, of two stored tensors of the same shape and of any floating dtypes."""

    def __init__(self, regional: torch.Tensor, base: torch.Tensor) -> None:
        shape = matrix_shape(base.shape)
        self._regional, self._base = regional.reshape(shape), base.reshape(shape)

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        out.copy_(self._regional[start:stop]).sub_(self._base[start:stop])


class Product:
    """scale * left @ right, with the same bits on every processor.

    Products of 32-bit or shorter numbers are exact in float64, so that a fused multiply-add changes
    nothing, and the order of the sum is all that is left: that of the rank, longer sums in parts.
    MKL's kernels have it for 12 rows at a time, and for 60, up to rank 128 and where the columns fill
    its registers: measured with MKL 2024.2 under every MKL_CBWR (those for AVX2 have another order for
    20 rows, or for 72). Hence rows are taken by 60 and by 12, and what is missing is filled up with
    zeros. Nothing rests on that: a kernel whose order is another one is not used.
    """

    LONGEST_SUM = 128
    WIDTH = 8

    def __init__(self, left: torch.Tensor, right: torch.Tensor, scale: float) -> None:
        """float64 (n, rank) and (rank, columns), values of at most 32 bits; and the factor."""
        import torch

        self._scale = scale
        self._columns = right.shape[1]
        self._filled = -self._columns % self.WIDTH
        if self._filled:
            right = torch.nn.functional.pad(right, (0, self._filled))
        cuts = range(0, max(left.shape[1], 1), self.LONGEST_SUM)
        self._parts = [
            (left[:, k : k + self.LONGEST_SUM].contiguous(), right[k : k + self.LONGEST_SUM])
            for k in cuts
        ]

    def times(self, beta: float) -> Product | None:
        """The product with `beta` in its scale; None where that would be rounded in another way."""
        if math.frexp(self._scale)[0] != 0.5:
            return None
        scaled = copy(self)
        scaled._scale *= beta
        return scaled

    def in_order(self, device: torch.device) -> InOrder | None:
        """The same bits, computed on any device; None for factors whose products are not exact."""
        return InOrder(self, device) if self._is_exact() else None

    def exact_factors(self) -> tuple[torch.Tensor, torch.Tensor, float] | None:
        """left, right and scale; None for factors whose products are not exact, and for long sums."""
        if len(self._parts) > 1 or not self._is_exact():
            return None
        ((left, right),) = self._parts
        return left, right[:, : self._columns], self._scale

    def _is_exact(self) -> bool:
        factors = (factor for part in self._parts for factor in part)
        return all(factor.float().double().equal(factor) for factor in factors)

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        first = start
        while first < stop:
            count = MANY if stop - first >= MANY else FEW
            last = min(first + count, stop)
            self._write_rows(first, last, count, out[first - start : last - start])
            first = last

    def _write_rows(self, first: int, last: int, count: int, out: torch.Tensor) -> None:
        import torch

        missing = count - (last - first)
        shape = (count, self._columns + self._filled)
        product = out.new_empty(shape) if missing or self._filled else out
        scaled = self._scale == 1
        for number, (left, right) in enumerate(self._parts):
            rows = left[first:last]
            if missing:
                rows = torch.nn.functional.pad(rows, (0, 0, 0, missing))
            part = torch.empty_like(product) if number else product
            sizes = (*rows.shape, shape[1], torch.get_num_threads())
            if len(self._parts) == 1 and not scaled and scales_last(*sizes):
                scaled = True
                part.addmm_(rows, right, beta=0, alpha=self._scale)
            elif adds_in_order(*sizes):
                torch.mm(rows, right, out=part)
            else:
                add_in_order(rows, right, part)
            if number:
                product.add_(part)
        if not scaled:
            product.mul_(self._scale)
        if product is not out:
            out.copy_(product[: last - first, : self._columns])


class InOrder(Product):
    """A product on a device whose kernels for matrices promise no order: term by term."""

    def __init__(self, product: Product, device: torch.device) -> None:
        columns = self._columns = product._columns
        self._scale = product._scale
        self._parts = [
            (left.to(device), right[:, :columns].to(device)) for left, right in product._parts
        ]

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        for number, (left, right) in enumerate(self._parts):
            part = out.new_empty(out.shape) if number else out
            add_in_order(left[start:stop], right, part)
            if number:
                out.add_(part)
        if self._scale != 1:
            out.mul_(self._scale)


def add_in_order(left: torch.Tensor, right: torch.Tensor, out: torch.Tensor) -> None:
    """left @ right, added up in the order of the rank: some times as long as a good kernel."""
    out.zero_()
    for k in range(len(right)):
        out.addcmul_(left[:, k : k + 1], right[k])


@cache
def adds_in_order(rows: int, rank: int, columns: int, _threads: int) -> bool:
    """Whether torch's kernel for matrices of these sizes adds up in the order of the rank."""
    left, right, some, expected = _probe(rows, rank, columns)
    return _same_bits((left @ right)[:, some], expected)


@cache
def scales_last(rows: int, rank: int, columns: int, _threads: int) -> bool:
    """Whether it does so too where it is given a factor, and multiplies each sum by that, once."""
    left, right, some, expected = _probe(rows, rank, columns)
    scaled = left.new_empty(rows, columns).addmm_(left, right, beta=0, alpha=0.7)
    return _same_bits(scaled[:, some], expected * 0.7)


def _same_bits(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether zeros have the same signs, too."""
    return one.equal(other) and one.signbit().equal(other.signbit())


def _probe(rows: int, rank: int, columns: int) -> tuple[torch.Tensor, ...]:
    """Two matrices, some columns of their product, and those added up in the order of the rank."""
    import torch

    generator = torch.Generator().manual_seed(rank)
    left, right = (
        torch.randn(shape, generator=generator).double()
        for shape in ((rows, rank), (rank, columns))
    )
    # Its products are zeros of either sign: a sum that begins with 0.0 is not -0.0.
    left[0] = 0
    # Both ends, where a kernel fills its registers up, and what lies between.
    some = torch.cat([torch.randint(columns, (64,), generator=generator), torch.arange(64)])
    some = torch.cat([some, -1 - torch.arange(64)]).remainder(columns)
    expected = left.new_empty(rows, len(some))
    add_in_order(left, right[:, some], expected)
    return left, right, some, expected


class Cored(Elementwise):
    """scale * left @ core @ right for each place of a kernel, with the same bits everywhere.

    Products of what was summed already are not exact in float64: here each is rounded before it is
    added, in the order of the rank, by operations that no processor fuses.
    """

    def __init__(
        self, left: torch.Tensor, core: torch.Tensor, right: torch.Tensor, scale: float
    ) -> None:
        """float64: left (n, rank), core (rank, rank, *kernel), right (rank, columns).

        Row: sum over i and j of left[row, i] * core[i, j, *kernel] * right[j, column].
        """
        inner = core.reshape(*core.shape[:2], -1)
        ranks, places, columns = len(inner), inner.shape[2], right.shape[1]
        # (i, kernel) x j times j x columns, then back to one row for each i.
        turned = inner.permute(0, 2, 1).reshape(ranks * places, -1).contiguous()
        product = whole(Product(turned, right.contiguous(), 1.0), (ranks * places, columns))
        self._right = product.reshape(ranks, places, columns).permute(0, 2, 1).reshape(ranks, -1)
        self._left, self._scale = left, scale

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        out.zero_()
        for number in range(len(self._right)):
            out.add_(self._left[start:stop, number : number + 1] * self._right[number])
        out.mul_(self._scale)


class Hadamard(Elementwise):
    """scale * one * other, element by element."""

    def __init__(self, one: RowDelta, other: RowDelta, scale: float) -> None:
        self._one, self._other, self._scale = one, other, scale

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        import torch

        self._one.write(start, stop, out)
        second = torch.empty_like(out)
        self._other.write(start, stop, second)
        out.mul_(second).mul_(self._scale)


class Kronecker(Elementwise):
    """scale * kron(one, other), of matrices (a, c) and (b, d): a row is one row of each."""

    def __init__(self, one: torch.Tensor, other: torch.Tensor, scale: float) -> None:
        self._one, self._other, self._scale = one, other, scale

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        import torch

        rows = torch.arange(start, stop)
        one = self._one[rows // len(self._other)].unsqueeze(2)
        other = self._other[rows % len(self._other)].unsqueeze(1)
        torch.mul(one, other, out=out.view(len(rows), one.shape[1], other.shape[2]))
        out.mul_(self._scale)


class Added(Elementwise):
    """one + other, element by element."""

    def __init__(self, one: RowDelta, other: RowDelta) -> None:
        self._one, self._other = one, other

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        import torch

        self._one.write(start, stop, out)
        second = torch.empty_like(out)
        self._other.write(start, stop, second)
        out.add_(second)


class Placed(Elementwise):
    """The rows of another, one after the other, at some runs of rows; zeros elsewhere."""

    def __init__(self, rows: RowDelta, runs: Sequence[range]) -> None:
        self._rows, self._runs = rows, runs

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        out.zero_()
        place = 0
        for run in self._runs:
            first, last = max(start, run.start), min(stop, run.stop)
            if first < last:
                shift = place - run.start
                self._rows.write(first + shift, last + shift, out[first - start : last - start])
            place += len(run)


class Picked(Elementwise):
    """Some runs of rows of another, one after the other."""

    def __init__(self, rows: RowDelta, runs: Sequence[range]) -> None:
        self._rows, self._runs = rows, runs

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        place = 0
        for run in self._runs:
            first, last = max(start - place, 0), min(stop - place, len(run))
            if first < last:
                part = out[place + first - start : place + last - start]
                self._rows.write(run.start + first, run.start + last, part)
            place += len(run)
