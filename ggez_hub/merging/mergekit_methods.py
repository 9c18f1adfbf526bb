"""The merge methods as mergekit calls them: with the base, and Deltas in place of models."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from mergekit.merge_methods import get
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
from torch.utils._pytree import tree_map_only

from ggez_hub.errors import GgezError
from ggez_hub.merging.delta_rows import RowDelta, Whole, matrix_shape, whole
from ggez_hub.merging.kernels import Workers, interpolate_rows, merge_blocks

if TYPE_CHECKING:
    from ggez_hub.merging.methods import BlockMethod


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


class GgezLinear(MergeMethod):
    """base + sum(beta * Delta)."""

    spec = MergeMethodSpec(
        name="ggez_linear",
        pretty_name="GG-EZ linear",
        reference_url="https://arxiv.org/abs/2604.11490",
        contract=InputContract(base=BasePolicy.REQUIRED, min_non_base=1),
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
        base, deltas = group.base, [entry.tensor for entry in group.non_base]
        assert base is not None  # noqa: S101 - the contract requires it
        result, finite = self._weighed(
            base.tensor,
            [delta.rows if isinstance(delta, StreamedDelta) else Whole(delta) for delta in deltas],
            [betas[entry.id] for entry in group.non_base],
            next((delta.workers for delta in deltas if isinstance(delta, StreamedDelta)), None),
        )
        return require_finite(result, group.metadata.name, finite)

    def _weighed(
        self,
        base: torch.Tensor,
        deltas: Sequence[RowDelta],
        betas: Sequence[float],
        workers: Workers | None,
    ) -> tuple[torch.Tensor, bool]:
        return interpolate_rows(base, deltas, betas, workers)


def require_finite(merged: torch.Tensor, name: str | None, finite: bool) -> torch.Tensor:
    """`merged` itself; raises GgezError, which names the tensor, unless it is `finite`."""
    if not finite:
        raise GgezError(
            f"the merge of {name!r} is not finite in {merged.dtype}",
            "The base, the adapter or the beta is broken; nothing was written.",
        )
    return merged


class BlockwiseMethod(GgezLinear):
    """A method that is given blocks of rows in float64; its result is rounded once."""

    def __init__(self, name: str, method: BlockMethod) -> None:
        self._method = method
        self.spec = dataclasses.replace(GgezLinear.spec, name=name, pretty_name=name)

    def _weighed(
        self,
        base: torch.Tensor,
        deltas: Sequence[RowDelta],
        betas: Sequence[float],
        workers: Workers | None,
    ) -> tuple[torch.Tensor, bool]:
        stored = base.reshape(matrix_shape(base.shape))

        def merged(start: int, stop: int) -> torch.Tensor:
            wide = stored[start:stop].double()
            parts = [torch.empty_like(wide) for _ in deltas]
            for source, part in zip(deltas, parts, strict=True):
                source.write(start, stop, part)
            return self._method(wide, parts, betas)

        return merge_blocks(base, merged, workers)


def mergekit_block(
    name: str, base: torch.Tensor, deltas: Sequence[torch.Tensor], betas: Sequence[float]
) -> torch.Tensor:
    """One block by the method that mergekit itself calls `name`.

    mergekit subtracts the base in the dtype of the checkpoint, which in bfloat16 rounds nearly half
    of the elements wrongly; here it is given float64.
    """
    shared = {"normalize": False, "rescale": False, "lambda": 1.0, "int8_mask": False}
    (merged,) = get(name)(
        (TensorGroup.from_tensors([base, *(base + delta for delta in deltas)], base_index=0),),
        parameters={"weight": list(betas), **shared},
        dtype=torch.float64,
    )
    return merged
