"""The merge of weight files: each tensor read, merged by a method of mergekit, and written.

mergekit's executor does the tasks and its registry holds the methods. Its planner is not used: it
guesses architectures, merges LoRAs to disk under a name that ignores their content, and importing
it imports peft and all of transformers.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mergekit.graph import Executor, Task
from mergekit.merge_methods import MergeMethod, TensorGroup, get, register
from pydantic import PrivateAttr

from ggez_hub.merging.delta_rows import RowDelta, matrix_shape
from ggez_hub.merging.deltas import Delta, WeightIndex, stored_name
from ggez_hub.merging.fused_kernel import kernels_for
from ggez_hub.merging.kernels import Workers, interpolate_rows, run_torch_alone
from ggez_hub.merging.mergekit_methods import BlockwiseMethod, GgezLinear, StreamedDelta
from ggez_hub.merging.methods import METHODS, NAME, Method
from ggez_hub.merging.sparsity import Dropped, trim
from ggez_hub.merging.writer import MirrorWriter

# mergekit's executor compares every task with every other task that it was given: in one run its
# time would grow with the square of the tensors.
PART = 64


@dataclass(frozen=True)
class Weighted:
    """An adapter with its beta for each tensor that it is to change; none of them is 0.

    `number` is its place among the adapters of the merge.
    """

    delta: Delta
    betas: Mapping[str, float]
    number: int = 0


def execute(
    base: WeightIndex,
    adapters: Sequence[Weighted],
    out: Path,
    *,
    method: str = NAME,
    wrote: Callable[[int], None] | None = None,
    device: torch.device | None = None,
) -> None:
    """Merge the weight files of `base` with `adapters` into `out`, an existing folder.

    Every tensor that the base's headers name is written, in the order of the files; one that no
    adapter changes keeps every bit. `method` is what Method parses. `wrote` is called with the bytes
    of each tensor as it is written. With a `device`, where `method` is computed on it, it gives the
    same bytes. Raises GgezError, or what reading raises; the caller removes
    `out` then.
    """
    names = list(base)
    chosen = Method.parse(method)
    registered = get(registered_method(chosen.name))
    ahead = ReadAhead(base, names)
    with (
        Workers(0, device) as workers,
        ThreadPoolExecutor(2, initializer=run_torch_alone) as merging,
    ):
        changed = [name for name in base if any(name in w.betas for w in adapters)]
        if device is None and chosen.name == NAME:
            workers.kernels = kernels_for(base[name] for name in changed)
        writer = MirrorWriter(base, out, wrote)
        deltas = DeltasAhead(base, adapters, changed, workers)

        def begin(name: str) -> None:
            ahead.past(name)
            changing = deltas.take(name)
            if not changing and base.is_copied(name):
                writer.copy_tensor(name)
                return
            # The threads begin with a tensor while the last blocks of the one before are computed.
            writer.wait(1 if base[name].nbytes <= AHEAD else 0)
            into = workers.into(writer.sink(name))
            writer.expect(name, merging.submit(merge, name, changing, into))

        def merge(name: str, changing: list[tuple[Weighted, RowDelta]], into: Workers) -> None:
            if changing:
                _merge(name, base.read(name), changing, chosen, registered, into)
            else:
                interpolate_rows(base.read(name), (), (), into)

        try:
            for part in _parts(names):
                for _ in Executor([MergeTensor.of(name, begin) for name in part]).run(quiet=True):
                    pass
            writer.finalize()
        finally:
            merging.shutdown(cancel_futures=True)
            writer.close()
            ahead.close()


class MergeTensor(Task[None]):
    """The task of one tensor: it begins to be merged and written, so that no result waits for another."""

    name: str
    _begin: Callable[[str], None] = PrivateAttr()

    @classmethod
    def of(cls, name: str, begin: Callable[[str], None]) -> MergeTensor:
        task = cls(name=name)
        task._begin = begin
        return task

    def arguments(self) -> dict[str, Task[Any]]:
        return {}

    def execute(self, **_kwargs: Any) -> None:
        self._begin(self.name)


def _merge(
    name: str,
    stored: torch.Tensor,
    changing: Sequence[tuple[Weighted, RowDelta]],
    chosen: Method,
    method: MergeMethod,
    workers: Workers,
) -> None:
    """Merge `stored`, the base's tensor of this name, with the adapters that change it, into a sink."""
    deltas = [
        StreamedDelta.of(
            _sparse(weighted.number, rows, name, stored, chosen, workers), stored.shape, workers
        )
        for weighted, rows in changing
    ]
    betas = [weighted.betas[name] for weighted, _ in changing]
    group = TensorGroup.from_tensors([stored, *deltas], base_index=0, name=name)
    method((group,), parameters={"beta": betas})


def _sparse(
    number: int, rows: RowDelta, name: str, stored: torch.Tensor, chosen: Method, workers: Workers
) -> RowDelta:
    """Delta of the tensor, of which the method may keep a share of the elements alone."""
    if chosen.density == 1:
        return rows
    if chosen.seed is None:
        return trim(rows, stored.shape, chosen.share, workers)
    columns = matrix_shape(stored.shape)[1]
    return Dropped(rows, columns, chosen.share, chosen.seed, number, name)


def registered_method(name: str) -> str:
    """What mergekit calls the method of METHODS, which is registered there at the first use."""
    method = METHODS.find(name)
    registered = name if method is None else f"ggez_{name}"
    try:
        get(registered)
    except RuntimeError:
        register(BlockwiseMethod(registered, method) if method else GgezLinear())
    return registered


def _parts(names: list[str]) -> list[list[str]]:
    """The tensors in the order of the files, in parts of bounded length."""
    return [names[start : start + PART] for start in range(0, len(names), PART)]


# What is prepared for the tensors that come next is at most so many bytes of them.
AHEAD = 1 << 27


class DeltasAhead:
    """The Deltas of each tensor that changes; those of the next are opened while one is merged."""

    def __init__(
        self,
        base: WeightIndex,
        adapters: Sequence[Weighted],
        changed: Iterable[str],
        workers: Workers,
    ) -> None:
        self._base, self._adapters, self._workers = base, adapters, workers
        self._coming = iter(changed)
        self._next = next(self._coming, None)
        self._opened: Future[list[tuple[Weighted, RowDelta]]] | None = None

    def take(self, name: str) -> list[tuple[Weighted, RowDelta]]:
        """Those of the tensor that is merged now; raises what opening them raises.

        Tensors come in the order of the base.
        """
        if name != self._next:
            return []
        taken = self._open(name) if self._opened is None else self._opened.result()
        following = self._next = next(self._coming, None)
        self._opened = None
        # Some Deltas are in memory in full.
        if following is not None and self._base[following].nbytes <= AHEAD:
            self._opened = self._workers.submit(lambda: self._open(following))
        return taken

    def _open(self, name: str) -> list[tuple[Weighted, RowDelta]]:
        return [(w, w.delta.by_rows(name)) for w in self._adapters if name in w.betas]


class ReadAhead:
    """Asks the system for the tensors that are read next, while those before are merged."""

    def __init__(self, base: WeightIndex, order: Iterable[str]) -> None:
        self._base = base
        self._coming = iter(order)
        self._asked: dict[str, int] = {}
        self._bytes = 0
        self._files = {path: os.open(file.path, os.O_RDONLY) for path, file in base.files.items()}

    def past(self, name: str) -> None:
        """`name` is read now: ask for what comes after it."""
        if not hasattr(os, "posix_fadvise"):
            return
        self._bytes -= self._asked.pop(name, 0)
        while self._bytes < AHEAD and (following := next(self._coming, None)) is not None:
            file = self._base.files[path := self._base.file_of[following]]
            info = file.tensors[stored_name(following)]
            start = file.data_start + info.start
            os.posix_fadvise(self._files[path], start, info.nbytes, os.POSIX_FADV_WILLNEED)
            self._asked[following] = info.nbytes
            self._bytes += info.nbytes

    def close(self) -> None:
        while self._files:
            os.close(self._files.popitem()[1])
