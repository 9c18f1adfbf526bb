"""A point of the grid: one beta for each adapter.

With one adapter a point is that number. With several it is `Betas`, in the order of the adapters.
Both are formatted, ordered and compared alike, so that a sweep over compositions is a sweep.

Points are ordered by how little is added to the base: by the sum of their betas; of equal sums the one
whose largest beta is smaller comes first (the load is shared), then the one with the smaller beta of
the first adapter, of the second, and so on. With one adapter that is the order of numbers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import TypeAlias

from ggez_hub.errors import UsageProblem

# Between the betas of a key: the formula is theta + 0.25 * Delta_1 + 0.5 * Delta_2.
JOIN = "+"


@dataclass(frozen=True, order=True)
class Betas:
    """The betas of two adapters or more, in the adapters' order; compared as said above."""

    size: tuple[Fraction, float] = field(init=False, repr=False)
    each: tuple[float, ...]

    def __post_init__(self) -> None:
        # As written: 0.1 + 0.2 and 0.3 are equal sums.
        total = sum((Fraction(repr(float(beta))) for beta in self.each), Fraction())
        object.__setattr__(self, "size", (total, max(self.each)))

    def __format__(self, spec: str) -> str:
        """Each beta by the format of numbers, joined: "0.25+0.5"."""
        return JOIN.join(format(beta, spec) for beta in self.each)


Beta: TypeAlias = float | Betas


def point(betas: Sequence[float]) -> Beta:
    """The point with one beta for each adapter, at least one."""
    return float(betas[0]) if len(betas) == 1 else Betas(tuple(map(float, betas)))


def betas_of(beta: Beta) -> tuple[float, ...]:
    """The beta of each adapter."""
    return beta.each if isinstance(beta, Betas) else (beta,)


def single(beta: Beta) -> float:
    """The beta of the one adapter that there is; raises UsageProblem for a composition's."""
    if isinstance(beta, Betas):
        raise UsageProblem(f"{beta:g} are the betas of several adapters")
    return beta


def is_base(beta: Beta) -> bool:
    """Whether nothing is added to the base."""
    return not any(betas_of(beta))


def base_like(beta: Beta) -> Beta:
    """The point of the base on the grid of another point."""
    return point([0.0] * len(betas_of(beta)))


def beta_key(beta: Beta) -> str:
    """A point as cards and results write it, in shortest form: "0", "0.25"; "0.25+1" for two adapters.

    Raises UsageProblem for a beta that is negative, not finite or has more than six digits.
    """
    return JOIN.join(map(_key, betas_of(beta)))


def read_key(key: str) -> Beta:
    """The point that a key is; raises ValueError for what is not a key."""
    return point([float(part) for part in key.split(JOIN)])


def as_json(beta: Beta) -> float | list[float]:
    """A number for one adapter, a list for several."""
    return list(beta.each) if isinstance(beta, Betas) else beta


def from_json(value: float | list[float]) -> Beta:
    """The point that `as_json` gave."""
    return point(value if isinstance(value, list) else [value])


def _key(beta: float) -> str:
    key = f"{beta:g}"
    if not (0 <= beta < 1e6) or float(key) != beta or "e" in key:
        raise UsageProblem(f"beta {beta!r} cannot be a point of the grid", "Use 0, 0.25, 1, ...")
    return key
