"""Factors of a low rank of a matrix: by its Gram matrix, or by projections that have converged.

The best factors of a rank are U (U^T M), U the first left singular vectors (Eckart and Young). They
are the eigenvectors of M M^T, here in float64: directions that its squares lose are below float32's
rounding, in which the factors are stored. Where few directions of a large matrix are wanted, U is
found by subspace iteration from random columns (Halko, Martinsson, Tropp, arXiv 0909.4061).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

# Up to this many rows or columns the Gram matrix takes less time than to look for a rank.
MANY = 2048
# Directions beside the wanted ones, which make those accurate; and the first ones that are tried.
OVERSAMPLING, FIRST = 16, 64
# Projections are taken while their directions are at most this share of all.
SHARE = 8
# Iteration ends when a round gains less than this share of the squared error that is left.
GAIN, ROUNDS = 5e-4, 24
SEED = 0
BLOCK = 1 << 22


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
        return int(self.a.shape[0])


def factorise(matrix: torch.Tensor, rank: int | None, energy: float) -> Factors:
    """Factors of `matrix` (float64, two-dimensional), of `rank` or of as many as `energy` needs.

    `energy` is the share of the squared norm that is kept when `rank` is None, in (0, 1]. Beside the
    matrix four squares of its shorter side are in memory at most (LAPACK's eigenvectors need two of
    them), or, of a large one, some of its columns.
    """
    if matrix.shape[0] > matrix.shape[1]:
        turned = factorise(matrix.mT, rank, energy)
        return Factors(
            turned.a.mT.contiguous(), turned.b.mT.contiguous(), turned.norm, turned.error
        )
    import torch

    norm = float(torch.linalg.vector_norm(matrix))
    left = _directions(matrix, rank, norm**2, energy * norm**2)
    right = left.mT @ matrix
    half = right.norm(dim=1).sqrt()
    half[half == 0] = 1
    b, a = left.mul_(half).float().contiguous(), right.div_(half[:, None]).float().contiguous()
    del left, right
    error, step = 0.0, max(1, BLOCK // matrix.shape[1])
    # Some rows at a time, so that no second matrix of this size is in memory.
    for rows, own in zip(torch.split(matrix, step), torch.split(b, step), strict=True):
        error += float(torch.linalg.vector_norm((own.double() @ a.double()).sub_(rows))) ** 2
    return Factors(b, a, norm, error**0.5)


def _directions(
    matrix: torch.Tensor, rank: int | None, total: float, wanted: float
) -> torch.Tensor:
    """The first left singular vectors: `rank` of them, or as many as hold `wanted` of `total`."""
    import torch

    rows = len(matrix)
    directions = rank or FIRST
    while directions + OVERSAMPLING <= rows // SHARE and (rank or rows > MANY):
        found = _iterate(matrix, directions, total)
        if found is None:
            break
        left, squares = found
        if rank or float(squares.sum()) >= wanted:
            return left[:, : rank or _enough(squares, wanted)]
        directions *= 2
    squares, left = torch.linalg.eigh(matrix @ matrix.mT)
    squares, left = squares.flip(0), left.flip(1)
    return left[:, : rank or _enough(squares, wanted)]


def _iterate(
    matrix: torch.Tensor, directions: int, total: float
) -> tuple[torch.Tensor, torch.Tensor] | None:
    """So many left singular vectors and squared singular values; None where they do not converge."""
    import torch

    generator = torch.Generator().manual_seed(SEED)
    size = (matrix.shape[1], directions + OVERSAMPLING)
    right = torch.randn(size, generator=generator, dtype=torch.float64)
    before = 0.0
    for _ in range(ROUNDS):
        basis = torch.linalg.qr(matrix @ right)[0]
        right = matrix.mT @ basis
        squares, turn = torch.linalg.eigh(right.mT @ right)
        # What a projection holds of the squared norm; it grows to what the best one holds.
        held = float(squares[-directions:].sum())
        if held - before <= GAIN * (total - held) + 1e-13 * total:
            return (basis @ turn).flip(1)[:, :directions], squares.flip(0)[:directions]
        before = held
    return None


def _enough(squares: torch.Tensor, wanted: float) -> int:
    """How many of the squared singular values have the sum `wanted`; at least one."""
    reached = squares.cumsum(0) >= wanted
    return int(reached.int().argmax()) + 1 if bool(reached.any()) else len(squares)
