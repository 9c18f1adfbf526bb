"""mergekit's own task_arithmetic and ties, fed with Deltas and rounded once.

Task arithmetic: theta_global + sum_i beta_i * Delta_i (arXiv 2212.04089). TIES: the same sum over
those Deltas alone whose sign wins the vote of their sum, element by element (arXiv 2306.01708,
without trimming: density 1; without normalisation: it would cancel the beta of a single region).

mergekit computes `region - base` in the dtype of the checkpoint, which in bfloat16 rounds nearly
half of the elements wrongly; here it is given float64.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from mergekit.merge_methods import get
from mergekit.merge_methods.base import TensorGroup

from ggez_hub.merging.kernels import merge_blocks
from ggez_hub.merging.methods import GgezLinear, require_finite, rows_of, workers_of
from ggez_hub.merging.rows import matrix_shape

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
