"""Deltas of which some elements are 0: trimmed by size as TIES does, or dropped at random as DARE.

Which elements stay depends on the values, or on seed and name of the tensor, alone: not on threads,
on the order of the tensors, nor on the machine.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from threading import Lock

import numpy as np
import torch

from ggez_hub.merging.delta_rows import RowDelta, blocks, matrix_shape
from ggez_hub.merging.kernels import Workers

# Float64 without its sign is ordered as its bits are: 64 of them, DIGIT at a time.
DIGIT = 16
NOT_SIGN = (1 << 63) - 1


def trim(source: RowDelta, shape: Sequence[int], density: Fraction, workers: Workers) -> RowDelta:
    """`source` with the ceil(density * n) elements of the largest size, the others 0.

    Of equal ones those with the lower index stay. Delta is computed six times and never held. arXiv 2306.01708, for each tensor.
    """
    rows, columns = matrix_shape(shape)
    wanted = math.ceil(density * rows * columns)
    if wanted == rows * columns:
        return source
    threshold = 0
    for shift in range(64 - DIGIT, -1, -DIGIT):
        largest_first = _count(source, shape, shift, threshold, workers).flip(0)
        position = int(torch.searchsorted(largest_first.cumsum(0), wanted))
        wanted -= int(largest_first[:position].sum())
        threshold |= (1 << DIGIT) - 1 - position << shift
    equal = torch.zeros(rows, dtype=torch.int64)

    def compare(block: slice, bits: torch.Tensor) -> None:
        equal[block] = (bits == threshold).sum(1)

    _each(source, shape, compare, workers)
    return Trimmed(source, threshold, wanted, equal.cumsum(0) - equal)


def _count(
    source: RowDelta, shape: Sequence[int], shift: int, known: int, workers: Workers
) -> torch.Tensor:
    """How many elements have which digit at `shift`, of those whose digits above are the known ones."""
    counts, adding = torch.zeros(1 << DIGIT, dtype=torch.int64), Lock()
    above = known >> shift >> DIGIT

    def count(_: slice, bits: torch.Tensor) -> None:
        digits = bits[bits >> shift >> DIGIT == above] >> shift & ((1 << DIGIT) - 1)
        found = torch.bincount(digits, minlength=1 << DIGIT)
        with adding:
            counts.add_(found)

    _each(source, shape, count, workers)
    return counts


def _each(
    source: RowDelta,
    shape: Sequence[int],
    function: Callable[[slice, torch.Tensor], None],
    workers: Workers,
) -> None:
    """Call `function` with each block of rows and the bits of its sizes, in any order."""
    cut, columns = list(blocks(shape)), matrix_shape(shape)[1]

    def block(number: int) -> None:
        start, stop = cut[number]
        rows = workers.scratch.take("trim", torch.float64, (stop - start, columns))
        source.write(start, stop, rows)
        function(slice(start, stop), rows.view(torch.int64) & NOT_SIGN)

    workers.each(block, range(len(cut)))


class Trimmed:
    """The elements of a Delta above a size, and the first ones of exactly that size."""

    def __init__(self, source: RowDelta, threshold: int, equal: int, before: torch.Tensor) -> None:
        """`threshold` as bits; `equal` elements of it stay, `before` are those before each row."""
        self._source, self._threshold, self._equal, self._before = source, threshold, equal, before

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        self._source.write(start, stop, out)
        bits = out.view(torch.int64) & NOT_SIGN
        same = bits == self._threshold
        number = same.cumsum(1) + self._before[start:stop, None]
        out.masked_fill_((bits < self._threshold) | (same & (number > self._equal)), 0.0)


class Dropped:
    """Delta / density where a random number is below the density, else 0 (arXiv 2311.03099).

    The number of an element is that of its index in the stream of Philox, whose key is a digest of
    seed, adapter and tensor.
    """

    def __init__(
        self, source: RowDelta, columns: int, density: Fraction, seed: int, adapter: int, name: str
    ) -> None:
        """`adapter` is its number in the merge, so that two adapters have masks of their own."""
        digest = hashlib.sha256(f"{seed}\0{adapter}\0{name}".encode()).digest()
        self._key = np.frombuffer(digest[:16], "<u8").astype(np.uint64)
        self._source, self._columns, self._density = source, columns, float(density)
        self._limit = np.uint64(min(math.ceil(density * 2**64), 2**64 - 1))

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        self._source.write(start, stop, out)
        # Philox gives four numbers for each value of its counter.
        skipped, left = divmod(start * self._columns, 4)
        numbers = np.random.Philox(key=self._key, counter=skipped).random_raw(left + out.numel())
        dropped = torch.from_numpy(numbers[left:] >= self._limit)
        out.div_(self._density).masked_fill_(dropped.view(out.shape), 0.0)
