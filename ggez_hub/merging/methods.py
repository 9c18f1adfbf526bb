"""`ggez_linear`: the merge of the paper as a method of mergekit.

theta_merged = theta_global + sum_i beta_i * Delta_i (arXiv 2604.11490, global-regional refinement;
with one adapter the same as beta * theta_regional + (1 - beta) * theta_global).
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mergekit.merge_methods import get, register
from mergekit.merge_methods.base import (
    BasePolicy,
    BatchOptions,
    InputContract,
    MergeMethod,
    MergeMethodSpec,
    ParameterScope,
    ParameterSpec,
    TensorGroup,
)

from ggez_hub.errors import GgezError
from ggez_hub.merging.delta_rows import RowDelta, Whole, matrix_shape
from ggez_hub.merging.kernels import Workers, interpolate_rows, merge_blocks
from ggez_hub.merging.mergekit_inputs import StreamedDelta

NAME = "ggez_linear"


class NotFinite(GgezError):
    """A merged tensor holds NaN or Inf."""


class GgezLinear(MergeMethod):
    """The method as mergekit calls it: the base, and Deltas in place of models.

    A group with the base alone is passed on as it is, so that untouched tensors and integer
    buffers keep every bit.
    """

    spec = MergeMethodSpec(
        name=NAME,
        pretty_name="GG-EZ linear",
        reference_url="https://arxiv.org/abs/2604.11490",
        contract=InputContract(base=BasePolicy.REQUIRED),
        parameters=(ParameterSpec("beta", float, ParameterScope.NON_BASE),),
        uses_accelerator=False,
    )

    def _execute(
        self,
        groups: Sequence[TensorGroup],
        parameters: list[dict[str, Any]],
        options: BatchOptions,
        *,
        input_dtypes: Sequence[torch.dtype | None],
        out_dtype: torch.dtype | None = None,
    ) -> tuple[torch.Tensor, ...]:
        return tuple(
            self._merge(group, bound["beta"])
            for group, bound in zip(groups, parameters, strict=True)
        )

    def _merge(self, group: TensorGroup, betas: Mapping[Any, float]) -> torch.Tensor:
        base, deltas = group.base, group.non_base
        assert base is not None  # noqa: S101 - the contract requires it
        if not deltas:
            return base.tensor
        result, finite = interpolate_rows(
            base.tensor,
            [rows_of(e.tensor) for e in deltas],
            [betas[e.id] for e in deltas],
            workers_of([e.tensor for e in deltas]),
        )
        return require_finite(result, group.metadata.name, finite)


def rows_of(delta: torch.Tensor) -> RowDelta:
    """The rows of a Delta as mergekit passes it on, streamed or whole."""
    return delta.rows if isinstance(delta, StreamedDelta) else Whole(delta)


def workers_of(deltas: Sequence[torch.Tensor]) -> Workers | None:
    """The threads that streamed Deltas are to be computed by."""
    return next((delta.workers for delta in deltas if isinstance(delta, StreamedDelta)), None)


def require_finite(merged: torch.Tensor, name: str | None, finite: bool) -> torch.Tensor:
    """`merged` itself; raises NotFinite, which names the tensor, unless it is `finite`."""
    if not finite:
        raise NotFinite(
            f"the merge of {name!r} is not finite in {merged.dtype}",
            "The base, the adapter or the beta is broken; nothing was written.",
        )
    return merged


# Parameters of mergekit's methods that are shared by all inputs.
SHARED = {"normalize": False, "rescale": False, "lambda": 1.0, "int8_mask": False}


class FromMergekit(GgezLinear):
    """A registered method of mergekit, with the inputs and the parameter of `ggez_linear`."""

    def __init__(self, theirs: str, name: str) -> None:
        """The method `name`; `theirs` is the method's name in mergekit."""
        self._theirs = theirs
        original = get(theirs).spec
        self.spec = dataclasses.replace(
            GgezLinear.spec,
            name=name,
            pretty_name=original.pretty_name,
            reference_url=original.reference_url,
        )

    def _merge(self, group: TensorGroup, betas: Mapping[Any, float]) -> torch.Tensor:
        base, deltas = group.base, group.non_base
        assert base is not None  # noqa: S101 - the contract requires it
        if not deltas:
            return base.tensor
        stored = base.tensor.reshape(matrix_shape(base.tensor.shape))
        rows, weights = [rows_of(e.tensor) for e in deltas], [betas[e.id] for e in deltas]

        def merged(start: int, stop: int) -> torch.Tensor:
            # Both methods work element by element: a block is as good as the whole.
            wide = stored[start:stop].double()
            parts = [torch.empty_like(wide) for _ in rows]
            for source, part in zip(rows, parts, strict=True):
                source.write(start, stop, part)
            return self._block(wide, parts, weights)

        workers = workers_of([e.tensor for e in deltas])
        result, finite = merge_blocks(base.tensor, merged, workers)
        return require_finite(result, group.metadata.name, finite)

    def _block(
        self, base: torch.Tensor, deltas: Sequence[torch.Tensor], betas: Sequence[float]
    ) -> torch.Tensor:
        """One block of rows, all of it in float64."""
        regions = [base + delta for delta in deltas]
        (merged,) = get(self._theirs)(
            (TensorGroup.from_tensors([base, *regions], base_index=0),),
            parameters={"weight": list(betas), **SHARED},
            dtype=torch.float64,
        )
        return merged


# The methods that users name, and what each is called among mergekit's registered methods, where
# `task_arithmetic` and `ties` are mergekit's own.
REGISTERED = {NAME: NAME, "task_arithmetic": "ggez_task_arithmetic", "ties": "ggez_ties"}


def register_methods() -> None:
    """Make our methods known to mergekit; calling it again does nothing."""
    try:
        get(NAME)
    except RuntimeError:
        register(GgezLinear())
        for name, registered in REGISTERED.items():
            if name != registered:
                register(FromMergekit(name, registered))
