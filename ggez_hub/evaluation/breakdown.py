"""Scores by country, language and category, and the two ways to average them.

The micro average is the mean over questions (the score itself); the macro average is the mean over
the parts, so that a country with 32 questions counts as much as one with 752. The paper prints one
of them in one table and the other in another; here both are said.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ggez_hub.evaluation.comparison import Estimate, NotComparable, mean
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.scores import Score, score_of

Dimension: TypeAlias = Literal["countries", "languages", "categories"]
DIMENSIONS: tuple[Dimension, ...] = ("countries", "languages", "categories")


@dataclass(frozen=True)
class Breakdown:
    """A score by the parts of one dimension.

    macro is None where no interval can be given: fewer than two pictures. `unknown` counts
    questions of which the part is not recorded; they are in no part.
    """

    parts: Mapping[str, Score]
    macro: Estimate | None
    unknown: int


def breakdown(outcomes: Outcomes, dimension: Dimension) -> Breakdown | None:
    """The score by `dimension`, or None if it is recorded of no question."""
    if outcomes.details is None:
        return None
    where: tuple[str | None, ...] = getattr(outcomes.details, dimension)
    names = sorted({name for name in where if name is not None})
    if not names:
        return None
    values = np.array(where, dtype=object)
    parts = {name: outcomes.where(values == name) for name in names}
    try:
        macro = mean(tuple(parts.values()))
    except NotComparable:
        macro = None
    return Breakdown(
        {name: score_of(part) for name, part in parts.items()}, macro, where.count(None)
    )


def breakdowns(outcomes: Outcomes) -> dict[Dimension, Breakdown]:
    """The breakdowns by every dimension that is recorded."""
    found = {dimension: breakdown(outcomes, dimension) for dimension in DIMENSIONS}
    return {dimension: value for dimension, value in found.items() if value is not None}
