"""A Delta as mergekit passes it from task to task: a tensor without elements."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._pytree import tree_map_only

from ggez_hub.merging.kernels import Workers
from ggez_hub.merging.rows import RowDelta, whole


class StreamedDelta(torch.Tensor):
    """Delta of one tensor as mergekit passes it on: float64, with a shape but without elements.

    Whoever knows it takes rows of it; for any other operation of torch its elements are computed.
    """

    rows: RowDelta
    workers: Workers

    @staticmethod
    def of(rows: RowDelta, shape: tuple[int, ...], workers: Workers) -> StreamedDelta:
        """The Delta `rows` of a tensor of `shape`, and the threads that are to compute it."""
        streamed: StreamedDelta = torch.Tensor._make_wrapper_subclass(
            StreamedDelta, shape, dtype=torch.float64, device=torch.device("cpu")
        )
        streamed.rows, streamed.workers = rows, workers
        return streamed

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        args, kwargs = tree_map_only(cls, lambda t: whole(t.rows, t.shape), (args, kwargs or {}))
        return func(*args, **kwargs)
