"""The rows of a step as tensors: a process's part of its batch, cut into micro-batches."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch

from ggez_hub.training.backend import TrainingModule

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]


@dataclass(frozen=True)
class BatchOrder:
    """Each epoch is a permutation of its own, cut into whole batches.

    What is left at the end of an epoch is another part of the examples each time. With `keys`, one
    for each example, no batch has two examples of the same key as long as enough others are left:
    a picture with two captions is no negative of itself.
    """

    examples: int
    batch: int
    seed: int
    keys: Sequence[Hashable] | None = None
    _known: dict[int, list[list[int]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def steps_per_epoch(self) -> int:
        """Whole batches in an epoch."""
        return self.examples // self.batch

    def steps(self, epochs: float, most: int | None) -> int:
        """Steps in so many epochs, at least one, at most `most`."""
        steps = max(1, math.floor(self.steps_per_epoch * epochs + 1e-9))
        return steps if most is None else most

    def of(self, step: int) -> list[int]:
        """The examples of the step with that number, from 0 on."""
        epoch, number = divmod(step, self.steps_per_epoch)
        if epoch not in self._known:
            self._known.clear()
            self._known[epoch] = self._epoch(epoch)
        return self._known[epoch][number]

    def _epoch(self, epoch: int) -> list[list[int]]:
        shuffled = np.random.default_rng([self.seed, epoch]).permutation(self.examples).tolist()
        if self.keys is None:
            size = self.batch
            return [shuffled[n * size : (n + 1) * size] for n in range(self.steps_per_epoch)]
        return list(_apart(shuffled, self.batch, self.keys))[: self.steps_per_epoch]


def _apart(shuffled: list[int], size: int, keys: Sequence[Hashable]) -> Iterator[list[int]]:
    """Batches in which keys are distinct: an example whose key is there waits for the next.

    Where only such examples are left, they fill the last batches all the same.
    """
    waiting: list[int] = []
    left = iter(shuffled)
    while True:
        batch: dict[Hashable, int] = {}
        again: list[int] = []
        held = iter(waiting)
        following = chain(held, left)
        while len(batch) < size and (example := next(following, None)) is not None:
            if keys[example] in batch:
                again.append(example)
            else:
                batch[keys[example]] = example
        again.extend(held)
        missing = size - len(batch)
        if len(again) < missing:
            return
        yield [*batch.values(), *again[:missing]]
        waiting = again[missing:]


Rows: TypeAlias = Sequence[Mapping[str, Any]]


def batches_of_steps(
    learner: TrainingModule,
    rows: Rows,
    order: BatchOrder,
    left: range,
    *,
    micro: int,
    workers: int,
    accelerator: Accelerator,
) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """The steps that are left, each with what this process computes of it, on its device."""
    loader = torch.utils.data.DataLoader(
        _Steps(learner, rows, order, micro, accelerator),
        batch_size=None,
        sampler=left,
        num_workers=workers,
        # The model is shared with the workers, not sent to them.
        multiprocessing_context="fork" if workers else None,
    )
    for step, batches in zip(left, loader, strict=True):
        yield step, to_device(batches, accelerator.device)


class _Steps(torch.utils.data.Dataset[list[dict[str, Any]]]):
    """By the number of a step this process's part of its batch, in micro-batches."""

    def __init__(
        self,
        learner: TrainingModule,
        rows: Rows,
        order: BatchOrder,
        micro: int,
        accelerator: Accelerator,
    ) -> None:
        self._learner, self._rows, self._order, self._micro = learner, rows, order, micro
        self._rank, self._processes = accelerator.process_index, accelerator.num_processes

    def __getitem__(self, step: int) -> list[dict[str, Any]]:
        batch = self._order.of(step)
        own = len(batch) // self._processes
        mine = batch[self._rank * own : (self._rank + 1) * own]
        return micro_batches(self._learner, [self._rows[n] for n in mine], self._micro)


def micro_batches(learner: TrainingModule, rows: Rows, size: int) -> list[dict[str, Any]]:
    """The rows as the learner's tensors, so many at once."""
    return [learner.batch(rows[start : start + size]) for start in range(0, len(rows), size)]


def to_device(batches: list[dict[str, Any]], device: torch.device) -> list[dict[str, Any]]:
    """The same on a device."""
    from accelerate.utils import send_to_device  # type: ignore[import-untyped]

    return [send_to_device(batch, device) for batch in batches]
