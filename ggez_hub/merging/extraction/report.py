"""What an extraction took over, and how well."""

from __future__ import annotations

import math
from dataclasses import dataclass


@dataclass(frozen=True)
class Extracted:
    """One tensor of the base as the adapter has it; `rank` is 0 where it is held whole.

    `norm` is ||Delta||, `error` is ||Delta - what the adapter adds||, both Frobenius.
    """

    tensor: str
    rank: int
    norm: float
    error: float

    @property
    def relative(self) -> float:
        """error / norm; 0 where nothing changed."""
        return self.error / self.norm if self.norm else 0.0


@dataclass(frozen=True)
class LeftOut:
    """A tensor that the fine-tune changed and the adapter does not hold, and why."""

    tensor: str
    norm: float
    reason: str


@dataclass(frozen=True)
class Extraction:
    """All changed tensors: those taken over, and those left out."""

    extracted: tuple[Extracted, ...]
    left_out: tuple[LeftOut, ...]
    nbytes: int

    @property
    def relative(self) -> float:
        """The relative error over all changed tensors; one left out is all error."""
        norm = sum(e.norm**2 for e in self.extracted) + sum(x.norm**2 for x in self.left_out)
        error = sum(e.error**2 for e in self.extracted) + sum(x.norm**2 for x in self.left_out)
        return math.sqrt(error / norm) if norm else 0.0
