"""base + sum(beta * Delta) in memory, tensor by tensor: bit for bit what a merge would write."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ggez_hub.errors import UsageProblem
from ggez_hub.families import Family
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.deltas import Delta, WeightIndex
from ggez_hub.merging.rows import ByRows, RowDelta, Whole

if TYPE_CHECKING:
    import torch

    from ggez_hub.merging.kernels import Workers


class Recomputed:
    """The stored tensors of a base, and what adapters make of them at any betas."""

    def __init__(
        self,
        base: Path,
        adapters: Sequence[Path],
        family: Family,
        parts: BetasByPart | None = None,
    ) -> None:
        """Read headers; raises what the family's layout, opening an adapter and `parts` raise.

        `parts` say what beta some tensors have, of every adapter.
        """
        self.index = WeightIndex(base, family.layout(base).weights)
        self._parts = None if parts is None else parts.on(self.index)
        self._deltas = [open_delta(adapter, family, self.index) for adapter in adapters]

    @property
    def touched(self) -> frozenset[str]:
        """The tensors that change with the betas."""
        return frozenset(name for delta in self._deltas for name in delta.touched)

    def tensor(
        self, name: str, betas: Sequence[float], workers: Workers | None = None
    ) -> torch.Tensor:
        """A tensor as the merge with one beta for each adapter stores it, in the base's dtype.

        With `workers` a merged tensor is in one of their slots and has to be given back. Raises
        NotFinite as the merge would, and UsageProblem for another number of betas.
        """
        if len(betas) != len(self._deltas):
            raise UsageProblem(f"{len(betas)} betas cannot weigh {len(self._deltas)} adapters")
        own = [beta if self._parts is None else self._parts.beta_of(name, beta) for beta in betas]
        # As in a merge, an adapter with the beta 0 is not even read.
        active = [
            (_rows(delta, name), beta)
            for delta, beta in zip(self._deltas, own, strict=True)
            if beta != 0 and name in delta.touched
        ]
        base = self.index.read(name)
        if not active:
            return base

        from ggez_hub.merging.kernels import interpolate_rows
        from ggez_hub.merging.methods import require_finite

        rows, weights = zip(*active, strict=True)
        merged, finite = interpolate_rows(base, rows, weights, workers)
        return require_finite(merged, name, finite)


def _rows(delta: Delta, name: str) -> RowDelta:
    return delta.by_rows(name) if isinstance(delta, ByRows) else Whole(delta.tensor(name))
