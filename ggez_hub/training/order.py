"""Which examples a step sees: a function of the seed and of the step's number alone.

So a run that goes on after a kill needs no state of a data loader, and the number of processes
changes nothing.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

import numpy as np


@dataclass(frozen=True)
class Order:
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
