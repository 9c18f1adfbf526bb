"""The merge methods that users name: ours, mergekit's, and those of plug-ins.

`ggez_linear` is the merge of the paper: theta_merged = theta_global + sum_i beta_i * Delta_i (arXiv
2604.11490, global-regional refinement; with one adapter the same as beta * theta_regional +
(1 - beta) * theta_global). Task arithmetic is the same sum (arXiv 2212.04089). TIES is the sum over
those Deltas alone whose sign wins the vote of their sum, element by element (arXiv 2306.01708,
without trimming: density 1; without normalisation: it would cancel the beta of a single region).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.families import FAMILIES
from ggez_hub.plugins import Catalog, PluginRecord

if TYPE_CHECKING:
    import torch

BlockMethod: TypeAlias = (
    "Callable[[torch.Tensor, Sequence[torch.Tensor], Sequence[float]], torch.Tensor]"
)
"""A merge method, element by element: (base, Deltas, betas) to the merged values.

It is called with one block of rows of one tensor after another, on several threads: base and Deltas
are float64 matrices of one shape, which the result has too, and the betas are one for each Delta.
"""


def _of_mergekit(
    name: str, base: torch.Tensor, deltas: Sequence[torch.Tensor], betas: Sequence[float]
) -> torch.Tensor:
    from ggez_hub.merging.mergekit_methods import mergekit_block

    return mergekit_block(name, base, deltas, betas)


NAME = "ggez_linear"
# `ggez_linear` is computed by kernels of its own.
METHODS: Catalog[BlockMethod | None] = Catalog(
    "merge_methods",
    "merge method",
    {NAME: None} | {name: partial(_of_mergekit, name) for name in ("task_arithmetic", "ties")},
    Callable,
    " For others use mergekit itself on the two folders.",
)
require_method = METHODS.find


def plugins_of(family: str, method: str) -> tuple[PluginRecord, ...]:
    """The plug-ins that a merge of this family by this method is made with."""
    found = (FAMILIES.origin(family), METHODS.origin(method))
    return tuple(record for record in found if record is not None)
