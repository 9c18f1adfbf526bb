"""Weights with an adapter on them, tensor by tensor while a library loads them."""

from __future__ import annotations

from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple

from ggez_hub.families import Family
from ggez_hub.merging.betas_by_part import BetasByPart
from ggez_hub.merging.recomputed import Recomputed

if TYPE_CHECKING:
    import torch


class Adapted(NamedTuple):
    """An adapter, a folder or a file, and the weight that it gets, of some tensors by `parts`."""

    adapter: Path
    beta: float
    parts: BetasByPart | None = None


def late_weights(folder: Path, family: Family, adapted: Adapted) -> dict[str, Late]:
    """The weights of base and adapter by their stored names; none is in memory until it is read.

    Raises what opening the adapter raises.
    """
    weights, lock = Recomputed(folder, [adapted.adapter], family, adapted.parts), Lock()
    return {name: Late(weights, name, adapted.beta, lock) for name in weights.index}


class Late:
    """A tensor that is computed when it is read, in the way that transformers reads a file's."""

    def __init__(self, weights: Recomputed, name: str, beta: float, lock: Lock) -> None:
        self._weights, self._name, self._beta, self._lock = weights, name, beta, lock

    def __getitem__(self, place: Any) -> torch.Tensor:
        # transformers reads in several threads, Deltas are made for one.
        with self._lock:
            return self._weights.tensor(self._name, [self._beta])[place]
