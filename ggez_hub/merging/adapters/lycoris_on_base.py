"""LyCORIS's GLoRA and IA3: a Delta that is made of the base's own weight.

GLoRA (arXiv 2306.07967) is scale * (W @ a1 @ a2 + b1 @ b2), IA3 (arXiv 2205.05638) W times a vector,
of its inputs or its outputs: lycoris 4.1.3, modules/glora.py and ia3.py. Both leave biases alone. Of
a fused module that the base keeps apart each part takes its own rows: W @ a1 @ a2 goes row by row.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.lora_file import read_number
from ggez_hub.merging.adapters.lycoris import FactoredPart, Shape
from ggez_hub.merging.adapters.module_delta import FilePart, low_rank_shape, require_room
from ggez_hub.merging.delta_rows import (
    Added,
    Elementwise,
    Product,
    RowDelta,
    matrix_shape,
    whole,
)
from ggez_hub.merging.deltas import BadAdapter, WeightIndex

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class OnBase(FactoredPart):
    """A part whose Delta needs the base's weight; `runs` are its rows of the file's module."""

    runs: tuple[range, ...] | None = None

    def selected(self, runs: tuple[range, ...] | None) -> FilePart:
        return replace(self, runs=runs)

    def rows(self, values: torch.Tensor) -> torch.Tensor:
        """The rows of the file's module that are the target's."""
        import torch

        if self.runs is None:
            return values
        return torch.cat([values[run.start : run.stop] for run in self.runs])

    def count(self, rows: int) -> int:
        """How many rows the target takes of as many of the file's module."""
        return rows if self.runs is None else sum(map(len, self.runs))


class GLoRA(OnBase):
    """a1 (in, rank), a2 (rank, in), b1 (out, rank), b2 (rank, in, *kernel)."""

    def by_rows(self, base: WeightIndex) -> RowDelta:
        a1, a2, b1, b2 = (self.value(part).flatten(1) for part in ("a1", "a2", "b1", "b2"))
        of_base = TimesWeight(base.read(self.target), a1, a2, self.scale)
        return Added(Product(self.rows(b1).contiguous(), b2.contiguous(), self.scale), of_base)

    @property
    def shape(self) -> Shape:
        shape = self.shapes()
        inner = low_rank_shape(self.file, self.parts["a2"], self.parts["a1"])
        outer = low_rank_shape(self.file, self.parts["b2"], self.parts["b1"])
        if inner[:2] != (outer[1], outer[1]) or shape["a2"][0] != shape["b2"][0]:
            raise self.does_not_fit(shape)
        return (self.count(outer[0]), *outer[1:])


class IA3(OnBase):
    """`ia3` is one number for each input or each output, as `on_input` says."""

    @property
    def _of_inputs(self) -> bool:
        # LyCORIS casts it with all others to the dtype of the file.
        flag = read_number(self.file, self.parts["on_input"])
        if flag not in {0.0, 1.0}:
            raise BadAdapter(f"{self.file.path}: {self.parts['on_input']!r} is neither 0 nor 1")
        return flag == 1.0

    def by_rows(self, base: WeightIndex) -> RowDelta:
        vector = self.value("ia3").flatten()
        if not self._of_inputs:
            vector = self.rows(vector)
        return ScaledWeight(base.read(self.target), vector, of_columns=self._of_inputs)

    @property
    def shape(self) -> Shape:
        """As far as the file says it: a vector of inputs does not say how many outputs there are."""
        if self.parts.keys() != {"ia3", "on_input"}:
            raise self.incomplete()
        size = math.prod(self.file.tensors[self.parts["ia3"]].shape)
        return (1, size) if self._of_inputs else (self.count(size), 1)

    def check(self, base: WeightIndex) -> None:
        stored = base[self.target].shape
        axis = 1 if self._of_inputs else 0
        shape = tuple(self.shape[axis] if n == axis else size for n, size in enumerate(stored))
        if len(stored) < 2:
            shape = self.shape
        require_room(base, self.target, shape, self.file)


class TimesWeight(Elementwise):
    """scale * W @ left @ right, along the inputs of W (out, in, *kernel).

    W @ left is rounded to float64, so that the second product is added up in the order of the rank by
    operations that no processor fuses, as in `Cored`.
    """

    def __init__(
        self, weight: torch.Tensor, left: torch.Tensor, right: torch.Tensor, scale: float
    ) -> None:
        """A stored W, and float64 (in, rank) and (rank, in)."""
        out, into = weight.shape[:2]
        places = math.prod(weight.shape[2:])
        turned = weight.reshape(out, into, places).permute(0, 2, 1).reshape(-1, into).double()
        product = whole(Product(turned, left.contiguous(), 1.0), (out * places, left.shape[1]))
        self._left = product.reshape(out, places, -1)
        self._right, self._scale = right, scale

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        out.zero_()
        view = out.view(stop - start, self._right.shape[1], self._left.shape[1])
        for number, right in enumerate(self._right):
            view.add_(self._left[start:stop, :, number].unsqueeze(1) * right.view(1, -1, 1))
        out.mul_(self._scale)


class ScaledWeight:
    """W times a number for each of its rows, or of its second axis."""

    def __init__(self, weight: torch.Tensor, vector: torch.Tensor, *, of_columns: bool) -> None:
        self._weight = weight.reshape(matrix_shape(weight.shape))
        self._of_columns = of_columns
        self._vector = (
            vector.repeat_interleave(self._weight.shape[1] // len(vector)) if of_columns else vector
        )

    def write(self, start: int, stop: int, out: torch.Tensor) -> None:
        out.copy_(self._weight[start:stop])
        out.mul_(self._vector if self._of_columns else self._vector[start:stop].unsqueeze(1))
