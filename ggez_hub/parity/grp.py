"""Global-Regional Parity: pure arithmetic on scores from 0 to 100.

From arXiv 2604.11490, "Global-Regional Parity". One formula of the paper prints alpha and
1 - alpha swapped; its tables come out only with the form used here.
"""

from __future__ import annotations

import math

from ggez_hub.errors import UsageProblem


def _checked(name: str, value: float, lowest: float, highest: float) -> float:
    if not (math.isfinite(value) and lowest <= value <= highest):
        bounds = (
            f"between {lowest:g} and {highest:g}" if lowest > -math.inf else "finite, at most 100"
        )
        raise UsageProblem(f"{name} is {value:g}; it has to be {bounds}")
    return value


def grp(
    q_global: float, q_regional: float, alpha: float, *, chance_corrected: bool = False
) -> float:
    """GRP = alpha * q_global + (1 - alpha) * q_regional, from 0 to 100.

    q_global and q_regional are mean scores from 0 to 100; alpha is the globalisation factor from 0
    (only the region counts) to 1 (only the world counts). `chance_corrected` admits scores below 0,
    which `normalised` gives to a model that is worse than chance. Raises UsageProblem for a value
    out of range.
    """
    lowest = -math.inf if chance_corrected else 0.0
    _checked("the global score", q_global, lowest, 100.0)
    _checked("the regional score", q_regional, lowest, 100.0)
    _checked("alpha", alpha, 0.0, 1.0)
    return alpha * q_global + (1.0 - alpha) * q_regional


def normalised(score: float, floor: float, ceiling: float = 100.0) -> float:
    """100 * (score - floor) / (ceiling - floor): 0 at chance, 100 at the best possible.

    score, floor and ceiling are on the metric's scale from 0 to 100. The floor is what guessing
    gets: 100 / options, or 100 * k / N for retrieval. The result is negative below the floor.
    Raises UsageProblem for a value out of range or a floor that is not below the ceiling.
    """
    _checked("the score", score, 0.0, 100.0)
    _checked("the floor", floor, 0.0, 100.0)
    _checked("the ceiling", ceiling, 0.0, 100.0)
    if floor >= ceiling:
        raise UsageProblem(f"the floor {floor:g} is not below the ceiling {ceiling:g}")
    return 100.0 * (score - floor) / (ceiling - floor)
