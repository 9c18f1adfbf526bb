"""How alike the Deltas of several adapters are: cos(Delta_i, Delta_j) over all touched tensors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

from ggez_hub.families import Family
from ggez_hub.merging.adapters import open_delta
from ggez_hub.merging.delta_rows import blocks, matrix_shape
from ggez_hub.merging.deltas import Delta, WeightIndex
from ggez_hub.merging.float8 import in_dtype
from ggez_hub.merging.merge import require_engine


@dataclass(frozen=True)
class Cosine:
    """cos(Delta_i, Delta_j) of the adapters numbered `first` and `second`, from 0.

    None where a Delta is zero everywhere.
    """

    first: int
    second: int
    value: float | None


def cosines(
    base: Path,
    adapters: Sequence[Path],
    family: Family,
    variant: str | None = None,
    out_dtype: str | None = None,
) -> tuple[Cosine, ...]:
    """The cosine of every pair of adapters for the model in `base`, of a variant of its weights.

    `out_dtype` is that of the merge. Raises MissingExtra without torch, and what `open_delta` raises.
    """
    require_engine()
    index = in_dtype(WeightIndex(base, family.layout(base, variant).weights), out_dtype)
    return delta_cosines([open_delta(adapter, family, index) for adapter in adapters], index)


def delta_cosines(deltas: Sequence[Delta], base: WeightIndex) -> tuple[Cosine, ...]:
    """The cosine of every pair, summed in float64 over blocks of rows: no Delta is in memory in full."""
    import torch

    count = len(deltas)
    # The Gram matrix of the Deltas; a tensor that one does not touch adds nothing to its row.
    gram = torch.zeros(count, count, dtype=torch.float64)
    for name in sorted(frozenset().union(*(delta.touched for delta in deltas))):
        touching = [number for number, delta in enumerate(deltas) if name in delta.touched]
        rows = [deltas[number].by_rows(name) for number in touching]
        shape, columns = base[name].shape, matrix_shape(base[name].shape)[1]
        for start, stop in blocks(shape):
            values = torch.empty(len(rows), stop - start, columns, dtype=torch.float64)
            for source, out in zip(rows, values, strict=True):
                source.write(start, stop, out)
            flat = values.flatten(1)
            gram[torch.tensor(touching).unsqueeze(1), torch.tensor(touching)] += flat @ flat.T
    norms = gram.diagonal().sqrt()
    return tuple(
        Cosine(i, j, float(gram[i, j] / (norms[i] * norms[j])) if norms[i] * norms[j] else None)
        for i, j in combinations(range(count), 2)
    )
