"""Which points a sweep measures: the betas of one adapter, or those of several together."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product

from ggez_hub.errors import UsageProblem
from ggez_hub.parity.betas import Beta, base_like, beta_key, point

# Every point is an evaluation: two adapters on the default grid are 36, three are 216.
MOST = 64


def grid_points(
    adapters: int,
    betas: Sequence[float] | Sequence[Sequence[float]],
    combinations: Sequence[Sequence[float]] | None = None,
    limit: int | None = None,
) -> tuple[Beta, ...]:
    """The points of a grid, the smallest first, with the base among them.

    betas         for every adapter, or a list for each of them; of several the product is taken
    combinations  the points themselves, a list with one beta for each adapter, in place of it
    limit         how many points the product may have

    Raises UsageProblem for what fits not the number of adapters, a product of more than `limit` points,
    or of more than 64 where no limit is said.
    """
    if combinations is not None:
        if adapters < 2:
            raise UsageProblem("combinations are of several adapters", "One adapter takes `betas`.")
        found = [list(each) for each in combinations]
    else:
        each = _for_each(betas, adapters)
        count = math.prod(len(set(own)) for own in each)
        if adapters > 1 and count > (limit or MOST):
            raise UsageProblem(
                f"{' x '.join(str(len(set(own))) for own in each)} betas are {count} points, each an "
                f"evaluation of its own; "
                + (f"the limit is {limit}" if limit else f"more than {MOST} are not asked unsaid"),
                "Give fewer `betas`, name the points as `combinations`, or raise `limit`.",
            )
        found = [list(betas) for betas in product(*each)]
    for betas_of_point in found:
        if len(betas_of_point) != adapters:
            raise UsageProblem(
                f"{betas_of_point} are not the betas of {adapters} adapters",
                "Give one for each, in the order of the adapters.",
            )
        for beta in betas_of_point:
            beta_key(beta)
    points = {point(each) for each in found}
    return tuple(sorted({base_like(next(iter(points))), *points}))


def _for_each(
    betas: Sequence[float] | Sequence[Sequence[float]], adapters: int
) -> list[list[float]]:
    """The betas of each adapter."""
    lists = [beta for beta in betas if not isinstance(beta, int | float)]
    numbers = [float(beta) for beta in betas if isinstance(beta, int | float)]
    if not lists:
        return [numbers] * adapters
    if numbers or len(lists) != adapters or not all(lists):
        raise UsageProblem(
            f"`betas` are numbers for every adapter, or {adapters} lists, one for each adapter"
        )
    return [[float(beta) for beta in own] for own in lists]
