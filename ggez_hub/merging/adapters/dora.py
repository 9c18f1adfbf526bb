"""DoRA: the direction by a LoRA, the magnitude by a vector of its own (arXiv 2402.09353).

W' = m * (W + s * B @ A) / ||W + s * B @ A||, the norm taken for each output, as PEFT's
merge_and_unload computes it (peft/tuners/lora/variants.py). Delta = W' - W does not scale with s:
a DoRA has no adapter form with beta folded in.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ggez_hub.merging.adapters.modules import LowRank, read_values, require_floating
from ggez_hub.merging.adapters.saved import Saved
from ggez_hub.merging.deltas import BadAdapter, WeightIndex

if TYPE_CHECKING:
    import torch


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
        import torch

        stored = base.read(self.target).to(torch.float64)
        weight = self.frozen.values() if self.frozen else stored
        direction = weight + self.low.delta(base)
        # Transposed tensors, embeddings among them, have their outputs on the second axis.
        axis = 1 if self.low.transposed else 0
        others = [dim for dim in range(direction.dim()) if dim != axis]
        norm = torch.linalg.vector_norm(direction, dim=others, keepdim=True)
        magnitude = read_values(self.low.file, self.key_magnitude).reshape(norm.shape)
        delta = (magnitude / norm).mul(direction).sub_(stored)
        if not torch.isfinite(delta).all():
            raise BadAdapter(
                f"{self.low.file.path}: the DoRA of {self.target!r} is not finite: an output has "
                "the norm 0"
            )
        return delta

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
