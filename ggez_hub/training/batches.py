"""Which examples a step sees, and their tensors: a function of the seed and the step's number alone.

A resumed run needs no state of a data loader, and the number of processes changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any, TypeAlias

import numpy as np
import torch

from ggez_hub.training.backend import TrainingModule

Rows: TypeAlias = Sequence[Mapping[str, Any]]
Batches: TypeAlias = list[dict[str, Any]]


@dataclass(frozen=True)
class BatchOrder:
    """Each epoch is a permutation of its own, cut into full batches; each leaves out other examples.

    With `keys`, one for each example, no batch has two examples of the same key as long as enough
    others are left: a picture with two captions is not a negative of itself.
    """

    examples: int
    batch: int
    seed: int
    keys: Sequence[Hashable] | None = None
    _known: dict[int, list[list[int]]] = field(default_factory=dict, compare=False, repr=False)

    @property
    def steps_per_epoch(self) -> int:
        """The number of full batches in an epoch."""
        return self.examples // self.batch

    def steps(self, epochs: float, most: int | None) -> int:
        """Steps in a number of epochs, at least one; `most` where it is given."""
        steps = max(1, math.floor(self.steps_per_epoch * epochs + 1e-9))
        return steps if most is None else most

    def examples_of(self, step: int) -> list[int]:
        """The examples of a step, which are counted from 0."""
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
        return list(_distinct_batches(shuffled, self.batch, self.keys))[: self.steps_per_epoch]


def _distinct_batches(
    shuffled: list[int], size: int, keys: Sequence[Hashable]
) -> Iterator[list[int]]:
    """Batches of distinct keys: an example whose key is in the batch waits for the next one.

    Where only such examples are left, they fill the last batches.
    """
    waiting: list[int] = []
    left = iter(shuffled)
    while True:
        batch: dict[Hashable, int] = {}
        repeated: list[int] = []
        held = iter(waiting)
        following = chain(held, left)
        while len(batch) < size and (example := next(following, None)) is not None:
            if keys[example] in batch:
                repeated.append(example)
            else:
                batch[keys[example]] = example
        repeated.extend(held)
        missing = size - len(batch)
        if len(repeated) < missing:
            return
        yield [*batch.values(), *repeated[:missing]]
        waiting = repeated[missing:]


class StepBatches(torch.utils.data.Dataset[Batches]):
    """By the number of a step, this process's part of its batch in micro-batches."""

    def __init__(
        self, module: TrainingModule, rows: Rows, order: BatchOrder, micro: int, rank: int, of: int
    ) -> None:
        self._module, self._rows, self._order, self._micro = module, rows, order, micro
        self._rank, self._processes = rank, of

    def __getitem__(self, step: int) -> Batches:
        batch = self._order.examples_of(step)
        own = len(batch) // self._processes
        mine = batch[self._rank * own : (self._rank + 1) * own]
        return micro_batches(self._module, [self._rows[n] for n in mine], self._micro)

    def load(self, steps: range, workers: int) -> Iterator[tuple[int, Batches]]:
        """The steps with their micro-batches, made by worker processes where there are any."""
        loader = torch.utils.data.DataLoader(
            self,
            batch_size=None,
            sampler=steps,
            num_workers=workers,
            # The model is shared with the workers, not sent to them.
            multiprocessing_context="fork" if workers else None,
        )
        return zip(steps, loader, strict=True)


def micro_batches(module: TrainingModule, rows: Rows, size: int) -> Batches:
    """The rows as the module's tensors, at most `size` at once."""
    return [module.batch(rows[start : start + size]) for start in range(0, len(rows), size)]


def to_device(batches: Batches, device: torch.device) -> Batches:
    """The batches with their tensors on a device."""
    from accelerate.utils import send_to_device  # type: ignore[import-untyped]

    return [send_to_device(batch, device) for batch in batches]
