"""base + sum(beta * Delta), block by block, on threads that each keep to one core's cache.

Every block is computed by one thread from start to end, and the cut into blocks does not depend on
their number: one thread and many give the same bytes.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, TypeVar

import torch

from ggez_hub.merging.delta_rows import Product, RowDelta, blocks, matrix_shape
from ggez_hub.merging.device_rows import DEVICE_BLOCK, on_device

if TYPE_CHECKING:
    from ggez_hub.merging.fused_kernel import Kernel

T = TypeVar("T")
R = TypeVar("R")
# Puts the rows from one number to another into a tensor and returns whether they are finite; None
# where it leaves that to others.
Fill = Callable[[int, int, torch.Tensor], bool | None]
# More threads than this wait for memory and for the disk.
MOST_THREADS = 8


class Scratch(threading.local):
    """Memory of one thread that serves block after block, of the processor or of a device."""

    def __init__(self, device: torch.device | None = None) -> None:
        self._device = device
        self._held: dict[str, torch.Tensor] = {}
        # Every call of torch passes the interpreter's lock around: even views are kept.
        self._views: dict[tuple[str, torch.dtype, tuple[int, int]], torch.Tensor] = {}

    def take(self, use: str, dtype: torch.dtype, shape: tuple[int, int]) -> torch.Tensor:
        """A contiguous matrix with any content, in the same memory at each call for `use`."""
        view = self._views.get((use, dtype, shape))
        if view is None:
            nbytes = shape[0] * shape[1] * dtype.itemsize
            held = self._held.get(use)
            if held is None or len(held) < nbytes:
                self._views = {key: v for key, v in self._views.items() if key[0] != use}
                held = self._held[use] = torch.empty(nbytes, dtype=torch.uint8, device=self._device)
            view = self._views[use, dtype, shape] = held[:nbytes].view(dtype).view(shape)
        return view


class Slots:
    """Memory for two results: one is computed while the other one is written.

    It is given back by its address, and taken again: a fresh allocation for each tensor
    would have the system clear every page of the model once more.
    """

    def __init__(self, nbytes: int) -> None:
        """Two slots of `nbytes`; pages that no result needs are never in memory."""
        self._free: SimpleQueue[torch.Tensor] = SimpleQueue()
        self._taken: dict[int, torch.Tensor] = {}
        for _ in range(2):
            self._free.put(torch.empty(nbytes, dtype=torch.uint8))

    def take(self, like: torch.Tensor) -> torch.Tensor:
        """A contiguous tensor of the shape and dtype of `like`; waits until a slot is free."""
        slot = self._free.get()
        self._taken[slot.data_ptr()] = slot
        return slot[: like.nbytes].view(like.dtype).view(like.shape)

    def give_back(self, result: torch.Tensor) -> None:
        """`result` is not needed any more; tensors from elsewhere are left alone."""
        slot = self._taken.pop(result.data_ptr(), None)
        if slot is not None:
            self._free.put(slot)


@dataclass(frozen=True)
class Sink:
    """Takes the blocks of a result as they are ready: it is never in memory in full.

    `write` is given the number of a block's first element and the block, contiguous and in `dtype`,
    by the thread that computed it: it is in the cache of that core, or on the device.
    """

    dtype: torch.dtype
    write: Callable[[int, torch.Tensor], None]


class Workers:
    """As many threads as torch would use, each of which runs torch on itself alone.

    torch's own threads would share every single operation: its data would leave the cache of a
    core between one operation and the next, and they would keep the cores busy while they wait.
    So the thread that enters works alone as well, until it leaves.
    """

    def __init__(self, largest: int, device: torch.device | None = None) -> None:
        """`largest` is the most bytes that a result may have.

        With a `device` the threads have it compute, in larger blocks.
        """
        self.device = device
        self.block = DEVICE_BLOCK if device else 0
        self.slots = Slots(largest)
        self.scratch = Scratch(device)
        self.sink: Sink | None = None
        self.kernels: Mapping[torch.dtype, Kernel] = {}
        self._before = torch.get_num_threads()
        self._count = min(self._before, MOST_THREADS)
        self._pool = ThreadPoolExecutor(self._count, "ggez-merge", initializer=run_torch_alone)

    def __enter__(self) -> Workers:
        run_torch_alone()
        return self

    def into(self, sink: Sink) -> Workers:
        """The same threads, whose next result goes into `sink`."""
        own = copy(self)
        own.sink = sink
        return own

    def __exit__(self, *_error: object) -> None:
        self._pool.shutdown()
        torch.set_num_threads(self._before)

    def map(self, function: Callable[[T], R], values: Iterable[T]) -> Iterator[R]:
        """What `function` makes of every value, in their order."""
        return self._pool.map(function, values)

    def submit(self, function: Callable[[], R]) -> Future[R]:
        """Call `function` on one of the threads, before what is asked for later."""
        return self._pool.submit(function)

    def each(self, function: Callable[[int], None], numbers: range) -> None:
        """Call `function` with every number, in any order; raises what it raises."""
        # next() of a range's iterator is atomic: the threads take what comes.
        left = iter(numbers)

        def run() -> None:
            for number in left:
                function(number)

        runs = [self._pool.submit(run) for _ in range(min(self._count, len(numbers)))]
        for done in runs:
            done.result()


def run_torch_alone() -> None:
    """Let the operations of the calling thread run on itself alone."""
    torch.set_num_threads(1)
    # A thread takes the default when it first asks for the number, whatever was set before.
    torch.get_num_threads()


def merge_blocks(
    base: torch.Tensor,
    merged: Callable[[int, int], torch.Tensor],
    workers: Workers | None = None,
    fill: Fill | None = None,
) -> tuple[torch.Tensor, bool]:
    """A tensor like `base` from blocks of its rows, and whether it is all finite.

    `merged` gives the rows from the first number to the second one, in float32 or float64; they are
    rounded once, to the dtype of `base`. `fill` does all of it at once, where it can. Without `workers` the calling thread does it all, and with
    them the result is theirs: it has to be given back, or is empty where they have a sink, whose
    dtype it has then.
    """
    sink = workers.sink if workers else None
    if not base.numel() or (workers and sink):
        result = torch.empty(0 if sink else base.shape, dtype=sink.dtype if sink else base.dtype)
    elif workers:
        result = workers.slots.take(base)
    else:
        result = torch.empty_like(base, memory_format=torch.contiguous_format)
    cut = list(blocks(base.shape, workers.block if workers else 0))
    columns = matrix_shape(base.shape)[1]
    finite: list[bool] = []

    def block(number: int) -> None:
        start, stop = cut[number]
        if workers and sink:
            part = workers.scratch.take("part", sink.dtype, (stop - start, columns))
        else:
            part = result.view(-1, columns)[start:stop]
        filled = fill(start, stop, part) if fill else None
        if filled is None:
            part.copy_(merged(start, stop))
            filled = _is_finite(part)
        finite.append(filled)
        if sink:
            sink.write(start * columns, part)

    if workers is None:
        for number in range(len(cut)):
            block(number)
    else:
        workers.each(block, range(len(cut)))
    return result, all(finite)


def _is_finite(part: torch.Tensor) -> bool:
    # The sum of finite numbers may itself be too large: they are looked at one by one then.
    return math.isfinite(part.sum().item()) or bool(
        torch.isfinite(torch.stack(torch.aminmax(part))).all()
    )


def interpolate_rows(
    base: torch.Tensor,
    deltas: Sequence[RowDelta],
    betas: Sequence[float],
    workers: Workers | None = None,
) -> tuple[torch.Tensor, bool]:
    """base + sum(beta * Delta), as merge_blocks returns it.

    base: stored tensor, any floating dtype; betas: finite. 16-bit tensors are summed in float32,
    wider ones in float64: the error stays below one unit in the last place of the stored dtype.
    Multiplication and addition are separate on purpose: a fused multiply-add exists on some
    processors only and would change the bytes.
    """
    wide = torch.float32 if base.element_size() <= 2 else torch.float64
    memory = workers.scratch if workers else Scratch()
    stored = base.reshape(matrix_shape(base.shape))
    if workers and workers.device:
        deltas = [on_device(delta, workers.device) for delta in deltas]
    weighted = [_weighted(delta, beta) for delta, beta in zip(deltas, betas, strict=True)]

    def merged(start: int, stop: int) -> torch.Tensor:
        size = (stop - start, stored.shape[1])
        total = memory.take("sum", wide, size)
        delta = memory.take("delta", torch.float64, size)
        if wide is torch.float64:
            total.copy_(stored[start:stop].to(total.device))
        for number, (source, beta) in enumerate(weighted):
            source.write(start, stop, delta)
            if beta != 1:
                delta.mul_(beta)
            if wide is torch.float64:
                total.add_(delta)
            elif number:
                total.add_(memory.take("narrow", wide, size).copy_(delta))
            else:
                # The base is widened, exactly, by the same operation.
                total.copy_(delta).add_(stored[start:stop].to(total.device))
        return total

    kernel = workers.kernels.get(base.dtype) if workers else None
    fill = kernel.fill(stored, weighted) if kernel else None
    return merge_blocks(base, merged, workers, fill)


def _weighted(delta: RowDelta, beta: float) -> tuple[RowDelta, float]:
    """The same with as few multiplications as give the same bits."""
    scaled = delta.times(beta) if isinstance(delta, Product) else None
    return (delta, beta) if scaled is None else (scaled, 1.0)
