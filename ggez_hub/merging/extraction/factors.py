"""Two factors of a Delta: the truncated singular value decomposition, exact or randomised.

The best approximation of a given rank (Eckart and Young). A full decomposition of a 2048 x 5632
matrix takes half a minute; `torch.svd_lowrank` (arXiv 0909.4061) less than a second.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Up to this many singular values a full decomposition in float64 takes at most a second or so.
FULL = 512
# Directions beside the wanted ones, and rounds of subspace iteration, that make it accurate.
OVERSAMPLING, ROUNDS = 16, 4
SEED = 0


@dataclass(frozen=True)
class Factors:
    """b @ a is near the matrix: b (rows, rank), a (rank, columns), float32; `error` its distance.

    `norm` and `error` are Frobenius norms in float64, of the factors as they are stored.
    """

    b: torch.Tensor
    a: torch.Tensor
    norm: float
    error: float

    @property
    def rank(self) -> int:
        """The number of directions."""
        return int(self.a.shape[0])


def factorise(matrix: torch.Tensor, rank: int | None, energy: float) -> Factors:
    """Factors of `matrix` (float64, two-dimensional), of `rank` or of as many as `energy` needs.

    `energy` is the share of the squared norm that is kept when `rank` is None, in (0, 1].
    """
    total = float(matrix.square().sum())
    u, s, v = _decompose(matrix, rank, energy * total)
    kept = min(rank or _enough(s, energy * total), len(s))
    half = s[:kept].clamp_min(0).sqrt()
    b, a = (u[:, :kept] * half).float(), (v[:, :kept] * half).T.float()
    error = float((matrix - b.double() @ a.double()).norm())
    return Factors(b.contiguous(), a.contiguous(), total**0.5, error)


def _decompose(
    matrix: torch.Tensor, rank: int | None, wanted: float
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """U, S and V with at least `rank` directions, or the squared sum `wanted`; S descending."""
    import torch

    smallest = min(matrix.shape)
    directions = rank or 64
    while smallest > FULL and directions + OVERSAMPLING <= smallest // 2:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            u, s, v = torch.svd_lowrank(matrix.float(), directions + OVERSAMPLING, ROUNDS)
        u, s, v = u.double(), s.double(), v.double()
        # The directions beyond the wanted ones are the inaccurate ones.
        if rank or float(s[:directions].square().sum()) >= wanted:
            return u[:, :directions], s[:directions], v[:, :directions]
        directions *= 2
    u, s, vh = torch.linalg.svd(matrix, full_matrices=False)
    return u, s, vh.mT


def _enough(s: torch.Tensor, wanted: float) -> int:
    """How many of the singular values have the squared sum `wanted`; at least one."""
    reached = s.square().cumsum(0) >= wanted
    return int(reached.int().argmax()) + 1 if bool(reached.any()) else len(s)
