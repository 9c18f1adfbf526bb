"""PiSSA and OLoRA: training began with a part of the base moved into the adapter.

Before the first step W = W' + s * B0 @ A0, and the stored B and A are trained ones: with the base as
published Delta = s * B @ A - s * B0 @ A0. What was taken away is that of the r largest singular
values of W (PiSSA, arXiv 2404.02948), or of the first r columns of its QR decomposition times s
(OLoRA, arXiv 2406.01775). PEFT computes it in float32 when it loads such an adapter
(peft/tuners/lora/layer.py: pissa_init, olora_init) and rounds W' to the base's dtype; here it is
float64 throughout. Where the base does not determine it, the adapter is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.module_delta import LowRank
from ggez_hub.merging.adapters.peft_config import PISSA
from ggez_hub.merging.delta_rows import Added, Product, RowDelta, whole
from ggez_hub.merging.deltas import BadAdapter, WeightIndex
from ggez_hub.safetensors_header import WeightFile

if TYPE_CHECKING:
    import torch

# A difference below this share of the largest value is lost in the float32 of the training.
APART = 2.0**-20


@dataclass(frozen=True)
class PissaLora:
    """A LoRA whose training began with `start`, PISSA or OLORA."""

    low: LowRank
    start: str

    @property
    def target(self) -> str:
        return self.low.target

    @property
    def file(self) -> WeightFile:
        """Where it comes from."""
        return self.low.file

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of Delta; raises as that of the LoRA."""
        return self.low.shape

    def delta(self, base: WeightIndex) -> torch.Tensor:
        return whole(self.by_rows(base), base[self.target].shape)

    def by_rows(self, base: WeightIndex) -> RowDelta:
        weight = base.read(self.target).double()
        rank = self.file.tensors[self.low.key_a].shape[0]
        taken = self._largest(weight, rank) if self.start == PISSA else self._first(weight, rank)
        return Added(self.low.by_rows(base), taken)

    def check(self, base: WeightIndex) -> None:
        """Raise as the LoRA does, or BadAdapter for what PEFT cannot begin in this way."""
        self.low.check(base)
        rank = self.file.tensors[self.low.key_a].shape[0]
        shape = base[self.target].shape
        if len(shape) != 2 or rank > min(shape):
            raise self._refused(f"a tensor {shape} has no such part of rank {rank}")
        if self.start == PISSA and self.low.scale <= 0:
            raise self._refused(f"its scale is {self.low.scale}")

    def _largest(self, weight: torch.Tensor, rank: int) -> RowDelta:
        """Minus the best approximation of `rank`, of the tensor as it is stored or transposed."""
        import torch

        # By the smaller Gram matrix: a sixth of the time of all singular vectors.
        wide = weight.shape[0] <= weight.shape[1]
        squares, vectors = torch.linalg.eigh(weight @ weight.T if wide else weight.T @ weight)
        s = squares.flip(0).clamp_min(0).sqrt()
        if rank < len(s) and s[rank - 1] - s[rank] <= APART * s[0]:
            raise self._refused(f"the singular values {rank} and {rank + 1} are the same")
        first = vectors[:, -rank:].contiguous()
        if wide:
            return Product(first, first.T @ weight, -1.0)
        return Product(weight @ first, first.T.contiguous(), -1.0)

    def _first(self, weight: torch.Tensor, rank: int) -> RowDelta:
        """Minus s * Q @ R of the first columns of Q, of the tensor as it is stored."""
        import torch

        q, r = torch.linalg.qr(weight)
        if r.diagonal()[:rank].abs().min() <= APART * weight.norm():
            raise self._refused(f"the first {rank} columns depend on each other")
        return Product(q[:, :rank].contiguous(), r[:rank], -self.low.scale)

    def _refused(self, why: str) -> BadAdapter:
        return BadAdapter(
            f"{self.file.path}: what {self.start} moved out of {self.target!r} is not determined by "
            f"the base: {why}",
            "Convert it with PEFT: save_pretrained(..., path_initial_model_for_weight_conversion=...).",
        )
