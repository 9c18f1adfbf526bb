"""The rows of a step as tensors: a process's part of its batch, cut into micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import torch

from ggez_hub.training.learner import Learner
from ggez_hub.training.order import Order

if TYPE_CHECKING:
    from accelerate import Accelerator  # type: ignore[import-untyped]

Rows: TypeAlias = Sequence[Mapping[str, Any]]


def fed(
    learner: Learner,
    rows: Rows,
    order: Order,
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
        yield step, moved(batches, accelerator.device)


class _Steps(torch.utils.data.Dataset[list[dict[str, Any]]]):
    """By the number of a step this process's part of its batch, in micro-batches."""

    def __init__(
        self, learner: Learner, rows: Rows, order: Order, micro: int, accelerator: Accelerator
    ) -> None:
        self._learner, self._rows, self._order, self._micro = learner, rows, order, micro
        self._rank, self._processes = accelerator.process_index, accelerator.num_processes

    def __getitem__(self, step: int) -> list[dict[str, Any]]:
        batch = self._order.of(step)
        own = len(batch) // self._processes
        mine = batch[self._rank * own : (self._rank + 1) * own]
        return micro_batches(self._learner, [self._rows[n] for n in mine], self._micro)


def micro_batches(learner: Learner, rows: Rows, size: int) -> list[dict[str, Any]]:
    """The rows as the learner's tensors, so many at once."""
    return [learner.batch(rows[start : start + size]) for start in range(0, len(rows), size)]


def moved(batches: list[dict[str, Any]], device: torch.device) -> list[dict[str, Any]]:
    """The same on a device."""
    from accelerate.utils import send_to_device  # type: ignore[import-untyped]

    return [send_to_device(batch, device) for batch in batches]
