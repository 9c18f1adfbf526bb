"""base + sum(beta * Delta), block by block, on threads that each keep to one core's cache.

Every block is computed by one thread from start to end, and the cut into blocks does not depend on
their number: one thread and many give the same bytes.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

from ggez_hub.merging.rows import RowDelta, blocks, matrix_shape

# More threads than this wait for memory and for the disk.
MOST_THREADS = 8

Item = TypeVar("Item")
Result = TypeVar("Result")


class Scratch(threading.local):
    """Memory of one thread that serves block after block."""

    def __init__(self) -> None:
        self._held: dict[tuple[str, torch.dtype], torch.Tensor] = {}

    def take(self, use: str, dtype: torch.dtype, shape: tuple[int, int]) -> torch.Tensor:
        """A contiguous matrix with any content, the same memory at each call for `use`."""
        size = shape[0] * shape[1]
        held = self._held.get((use, dtype))
        if held is None or held.numel() < size:
            held = self._held[use, dtype] = torch.empty(size, dtype=dtype)
        return held[:size].view(shape)


class Workers:
    """As many threads as torch would use, each of which runs torch on itself alone.

    torch's own threads would share every single operation: its data would leave the cache of a
    core between one operation and the next.
    """

    def __init__(self) -> None:
        before = torch.get_num_threads()
        self._count = min(before, MOST_THREADS)
        self.scratch = Scratch()
        self._pool = ThreadPoolExecutor(
            self._count, "ggez-merge", initializer=torch.set_num_threads, initargs=(1,)
        )
        # All threads start now: what they tell torch is also the default of threads to come.
        ready = threading.Barrier(self._count + 1)
        for _ in range(self._count):
            self._pool.submit(ready.wait)
        ready.wait()
        torch.set_num_threads(before)

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown()

    def each(self, function: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
        """`function` of every item, in no particular order; raises what it raises."""
        # next() of an iterator over a list is atomic: the threads take what comes.
        left = iter(list(items))
        runs = [
            self._pool.submit(lambda: [function(item) for item in left]) for _ in range(self._count)
        ]
        return [result for run in runs for result in run.result()]


def interpolate_rows(
    base: torch.Tensor,
    deltas: Sequence[RowDelta],
    betas: Sequence[float],
    workers: Workers | None = None,
) -> tuple[torch.Tensor, bool]:
    """base + sum(beta * Delta), rounded once to the dtype of `base`, and whether it is all finite.

    base: stored tensor, any floating dtype; betas: finite. 16-bit tensors are summed in float32,
    wider ones in float64: the error stays below one unit in the last place of the stored dtype.
    Multiplication and addition are separate on purpose: a fused multiply-add exists on some
    processors only and would change the bytes. Without `workers` the calling thread does it all.
    """
    wide_dtype = torch.float32 if base.element_size() <= 2 else torch.float64
    memory = workers.scratch if workers else Scratch()
    result = torch.empty_like(base, memory_format=torch.contiguous_format)
    shape = matrix_shape(base.shape)
    stored, merged = base.reshape(shape), result.view(shape)

    def block(rows: tuple[int, int]) -> bool:
        start, stop = rows
        size = (stop - start, shape[1])
        wide = memory.take("sum", wide_dtype, size)
        delta = memory.take("delta", torch.float64, size)
        wide.copy_(stored[start:stop])
        for source, beta in zip(deltas, betas, strict=True):
            source.write(start, stop, delta)
            delta.mul_(beta)
            if wide_dtype is torch.float64:
                wide.add_(delta)
            else:
                wide.add_(memory.take("narrow", wide_dtype, size).copy_(delta))
        out = merged[start:stop]
        out.copy_(wide)
        # As stored, hence after rounding; the extremes are NaN if any element is.
        low, high = torch.aminmax(wide.copy_(out))
        return bool(torch.isfinite(low) & torch.isfinite(high))

    cut = blocks(base.shape)
    return result, all([block(b) for b in cut] if workers is None else workers.each(block, cut))
