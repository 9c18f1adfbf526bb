"""DoRA: the direction by a LoRA, the magnitude by a vector of its own (arXiv 2402.09353).

W' = m * (W + s * B @ A) / ||W + s * B @ A||, the norm taken for each output, as PEFT's
merge_and_unload computes it (peft/tuners/lora/variants.py), or for each input, as LyCORIS may
(functional/general.py: weight_decompose; the epsilon that it adds to the norm, 1e-7 in float32,
guards a division and is left out). LyCORIS decomposes LoHa and LoKr likewise. Delta = W' - W does
not scale with s: a DoRA has no adapter form with beta folded in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.module_delta import (
    FilePart,
    SelectedRows,
    read_values,
    require_floating,
)
from ggez_hub.merging.adapters.saved_parameters import Saved
from ggez_hub.merging.delta_rows import Elementwise, blocks, matrix_shape
from ggez_hub.merging.deltas import BadAdapter, WeightIndex

if TYPE_CHECKING:
    import torch

    from ggez_hub.merging.delta_rows import RowDelta


@dataclass(frozen=True)
class Dora:
    """One module: what changes its direction, and the key of its magnitudes.

    The magnitudes are of the rows of the base's tensor, taken as a matrix, or of as many groups of
    columns if `of_columns`. `frozen` is the weight that the adapter saved with itself, if it
    differs from the base's: then that is W, and Delta is still the difference from the base.
    """

    low: FilePart
    key_magnitude: str
    of_columns: bool = False
    frozen: Saved | None = None

    @property
    def target(self) -> str:
        return self.low.target

    def by_rows(self, base: WeightIndex) -> RowDelta:
        stored = base.read(self.target)
        shape = matrix_shape(stored.shape)
        weight = self.frozen.stored() if self.frozen else stored
        rows = DoraRows(
            self.target,
            self.low.by_rows(base),
            stored.reshape(shape),
            weight.reshape(shape),
            self._magnitudes(),
        )
        return rows.with_column_norms() if self.of_columns else rows

    def _magnitudes(self) -> torch.Tensor:
        import torch

        found = read_values(self.low.file, self.key_magnitude).flatten()
        if isinstance(self.low, SelectedRows):
            found = torch.cat([found[run.start : run.stop] for run in self.low.runs])
        return found

    def check(self, base: WeightIndex) -> None:
        """Raise BadAdapter or WrongBase unless all parts fit together and the base."""
        self.low.check(base)
        require_floating(self.low.file, self.key_magnitude)
        shape = self.low.file.tensors[self.key_magnitude].shape
        whole_part = self.low.part if isinstance(self.low, SelectedRows) else self.low
        expected = base[self.target].shape[1] if self.of_columns else whole_part.shape[0]
        if math.prod(shape) != expected:
            raise BadAdapter(
                f"{self.low.file.path}: {self.key_magnitude!r} is {shape} for {expected} "
                f"{'columns' if self.of_columns else 'outputs'}"
            )


@dataclass(frozen=True)
class DoraRows(Elementwise):
    """Rows of W' - W. Matrices of one shape: W as the base has it, and as the adapter takes it.

    `magnitude` is for the rows, or, if `norms` of the same length is given, for as many groups of
    columns beside each other.
    """

    target: str
    low: RowDelta
    stored: torch.Tensor
    weight: torch.Tensor
    magnitude: torch.Tensor
    norms: torch.Tensor | None = None

    def with_column_norms(self) -> DoraRows:
        """The same for groups of columns, whose norms need a pass of their own over all rows."""
        import torch

        squares = torch.zeros(self.stored.shape[1], dtype=torch.float64)
        for start, stop in blocks(self.stored.shape):
            out = torch.empty(stop - start, self.stored.shape[1], dtype=torch.float64)
            self._direction(start, stop, out)
            squares += _sum(out.square_(), 0)
        groups = squares.reshape(len(self.magnitude), -1)
        return replace(self, norms=_sum(groups, 1).sqrt_())

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        import torch

        self._direction(start, stop, out)
        if self.norms is None:
            norms = _sum(out.square(), 1).sqrt_()
            factor = (self.magnitude[start:stop] / norms).unsqueeze(1)
        else:
            factor = self.magnitude / self.norms
            factor = factor.repeat_interleave(self.stored.shape[1] // len(factor))
        if not torch.isfinite(factor).all():
            raise BadAdapter(f"the DoRA of {self.target!r} is not finite: a norm is 0")
        out.mul_(factor).sub_(self.stored[start:stop])

    def _direction(self, start: int, stop: int, out: torch.Tensor) -> None:
        self.low.write(start, stop, out)
        out.add_(self.weight[start:stop])


def _sum(values: torch.Tensor, dim: int) -> torch.Tensor:
    """The sum along a dimension, by adding its second half to its first one again and again.

    torch's own sums and norms add as many numbers at once as a processor's vectors hold, so that the
    last bit may differ between processors; here each addition is that of two elements.
    """
    while (count := values.shape[dim]) > 1:
        half = count // 2
        added = values.narrow(dim, 0, half) + values.narrow(dim, half, half)
        if count % 2:
            added.narrow(dim, 0, 1).add_(values.narrow(dim, -1, 1))
        values = added
    return values.select(dim, 0)
