"""The merge methods that users name: ours, mergekit's, and those of plug-ins.

`ggez_linear` is the merge of the paper: theta_merged = theta_global + sum_i beta_i * Delta_i (arXiv
2604.11490, global-regional refinement; with one adapter the same as beta * theta_regional +
(1 - beta) * theta_global). Task arithmetic is the same sum (arXiv 2212.04089). TIES is the sum over
those Deltas alone whose sign wins the vote of their sum, element by element (arXiv 2306.01708,
without normalisation: it would cancel the beta of a single region); `ties(density)` trims each of
them before. `dare(density, seed)` is the sum of Deltas of which elements were dropped at random
(arXiv 2311.03099).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ggez_hub.errors import UsageProblem
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
OF_MERGEKIT = {"task_arithmetic": "task_arithmetic", "ties": "ties", "dare": "task_arithmetic"}
# `ggez_linear` is computed by kernels of its own.
METHODS: Catalog[BlockMethod | None] = Catalog(
    "merge_methods",
    "merge method",
    {NAME: None} | {name: partial(_of_mergekit, own) for name, own in OF_MERGEKIT.items()},
    Callable,
    " For others use mergekit itself on the two folders.",
)
WRITTEN = {"ties": "ties, or ties(0.2) with the density", "dare": "dare(0.5, 7): density and seed"}
DENSITY, SEED = r"\s*(\d*\.?\d+(?:[eE]-?\d+)?)\s*", r",\s*(\d{1,18})\s*"


@dataclass(frozen=True)
class Method:
    """A method with what it was given; `str()` is its one way of writing, for locks and digests.

    density  the share of each Delta's elements that is kept: the largest, or, with a seed, any
    seed     of the numbers that decide which elements are kept
    """

    name: str
    density: float = 1.0
    seed: int | None = None

    @classmethod
    def parse(cls, text: str) -> Method:
        """The method that a text names; raises UsageProblem."""
        name, given, values = text.partition("(")
        METHODS.find(name)
        seeded = name == "dare"
        if not given and not seeded:
            return cls(name)
        match = re.fullmatch(DENSITY + (SEED if seeded else "") + r"\)", values, re.ASCII)
        if name not in WRITTEN or match is None or not 0 < float(match[1]) <= 1:
            raise UsageProblem(
                f"{text!r} is not a merge method",
                f"Write {WRITTEN.get(name, name)}."
                + " The density is above 0 and at most 1." * (name in WRITTEN),
            )
        return cls(name, float(match[1]), int(match[2]) if seeded else None)

    def __str__(self) -> str:
        if self.seed is not None:
            return f"{self.name}({self.density!r}, {self.seed})"
        return self.name if self.density == 1 else f"{self.name}({self.density!r})"

    @property
    def is_foldable(self) -> bool:
        """Whether the merge of one adapter is base + beta * Delta, as an adapter form adds it."""
        return self.density == 1 and (self.name == NAME or self.name in OF_MERGEKIT)

    @property
    def share(self) -> Fraction:
        """The density exactly as it was written."""
        return Fraction(repr(self.density))

    def require_foldable(self, form: str) -> None:
        """Raise UsageProblem unless an adapter form is the merge by this method."""
        if not self.is_foldable:
            raise UsageProblem(
                f"--as {form} cannot hold what {self} makes of an adapter: only base + beta * Delta",
                "Take the merged form: leave out --as. Or leave out --method.",
            )


def plugins_of(family: str, method: str) -> tuple[PluginRecord, ...]:
    """The plug-ins that a merge of this family by this method is made with."""
    found = (FAMILIES.origin(family), METHODS.origin(method))
    return tuple(record for record in found if record is not None)
