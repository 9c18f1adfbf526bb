"""base + beta * Delta in memory, tensor by tensor: bit for bit what a merge would write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.deltas import Delta, WeightIndex

if TYPE_CHECKING:
    import torch


class Recomputed:
    """The stored tensors of a base, and what an adapter makes of them at any beta."""

    def __init__(self, base: Path, adapter: Path | None, family: Family) -> None:
        """Read headers; raises what the family's layout and opening an adapter raise."""
        self.index = WeightIndex(base, family.layout(base).weights)
        self._delta: Delta | None = open_delta(adapter, family, self.index) if adapter else None

    @property
    def adapted(self) -> bool:
        """Whether there is an adapter."""
        return self._delta is not None

    @property
    def touched(self) -> frozenset[str]:
        """The tensors that change with beta."""
        return self._delta.touched if self._delta else frozenset()

    def tensor(self, name: str, beta: float) -> torch.Tensor:
        """A tensor as the merge with `beta` stores it, in the base's dtype.

        Raises NotFinite as the merge would, and UsageProblem if beta needs an adapter and there is
        none.
        """
        if beta == 0:
            return self.index.read(name)
        if self._delta is None:
            raise UsageProblem(f"beta {beta:g} needs an adapter", "A base alone has beta 0.")
        base = self.index.read(name)
        if name not in self._delta.touched:
            return base
        import torch

        from ggez_hub.merging.methods import NotFinite, interpolate

        merged = interpolate(base, [self._delta.tensor(name)], [beta])
        if not torch.isfinite(merged).all():
            raise NotFinite(f"{name!r} is not finite in {base.dtype} at beta {beta:g}")
        return merged
