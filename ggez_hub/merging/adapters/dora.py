"""DoRA: the direction by a LoRA, the magnitude by a vector of its own (arXiv 2402.09353).

W' = m * (W + s * B @ A) / ||W + s * B @ A||, the norm taken for each output, as PEFT's
merge_and_unload computes it (peft/tuners/lora/variants.py). Delta = W' - W does not scale with s:
a DoRA has no adapter form with beta folded in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.modules import LowRank, read_values, require_floating
from ggez_hub.merging.adapters.saved import Saved
from ggez_hub.merging.deltas import BadAdapter, WeightIndex
from ggez_hub.merging.rows import blocks, matrix_shape, whole

if TYPE_CHECKING:
    import torch

    from ggez_hub.merging.rows import RowDelta


@dataclass(frozen=True)
class Dora:
    """One module: the LoRA of its direction, and the key of its magnitudes, one for each output.

    `frozen` is the weight that the adapter saved with itself, if it differs from the base's: then
    that is W, and Delta is still the difference from the base.
    """

    low: LowRank
    key_magnitude: str
    frozen: Saved | None = None

    @property
    def target(self) -> str:
        return self.low.target

    def delta(self, base: WeightIndex) -> torch.Tensor:
        return whole(self.by_rows(base), base[self.target].shape)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        stored = base.read(self.target)
        shape = matrix_shape(stored.shape)
        weight = self.frozen.stored() if self.frozen else stored
        rows = DoraRows(
            self.target,
            self.low.by_rows(base),
            stored.reshape(shape),
            weight.reshape(shape),
            read_values(self.low.file, self.key_magnitude).flatten(),
        )
        # Transposed tensors, embeddings among them, have their outputs on the second axis.
        return rows.with_column_norms() if self.low.transposed else rows

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter or WrongBase unless all parts fit together and the base."""
        self.low.check(base)
        require_floating(self.low.file, self.key_magnitude)
        shape = self.low.file.tensors[self.key_magnitude].shape
        outputs = base[self.target].shape[1 if self.low.transposed else 0]
        if math.prod(shape) != outputs:
            raise BadAdapter(
                f"{self.low.file.path}: {self.key_magnitude!r} is {shape} for {outputs} outputs"
            )


@dataclass(frozen=True)
class DoraRows:
    """Rows of W' - W. Matrices of one shape: W as the base has it, and as the adapter takes it.

    `magnitude` (outputs,) is for the rows, or for the columns if `norms` (outputs,) is given.
    """

    target: str
    low: RowDelta
    stored: torch.Tensor
    weight: torch.Tensor
    magnitude: torch.Tensor
    norms: torch.Tensor | None = None

    def with_column_norms(self) -> DoraRows:
        """The same for outputs in columns, whose norms need a pass of their own over all rows."""
        import torch

        squares = torch.zeros(self.stored.shape[1], dtype=torch.float64)
        for start, stop in blocks(self.stored.shape):
            out = torch.empty(stop - start, self.stored.shape[1], dtype=torch.float64)
            self._direction(start, stop, out)
            squares += out.square_().sum(0)
        return replace(self, norms=squares.sqrt_())

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        import torch

        self._direction(start, stop, out)
        if self.norms is None:
            factor = self.magnitude[start:stop] / torch.linalg.vector_norm(out, dim=1)
            factor = factor.unsqueeze(1)
        else:
            factor = self.magnitude / self.norms
        if not torch.isfinite(factor).all():
            raise BadAdapter(f"the DoRA of {self.target!r} is not finite: an output has the norm 0")
        out.mul_(factor).sub_(self.stored[start:stop])

    def _direction(self, start: int, stop: int, out: torch.Tensor) -> None:
        self.low.write(start, stop, out)
        out.add_(self.weight[start:stop])
