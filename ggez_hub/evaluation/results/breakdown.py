"""Scores by country, language and category, and the two ways to average them.

The micro average is the mean over questions; the macro average is the mean over the parts, so that
a country with 32 questions counts as much as one with 752. The paper prints one of them in one table
and the other in another; here both are given, and which of them is the score is fixed by the task
(`average`), whatever region is asked for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from ggez_hub.evaluation.answers.outcomes import QUESTIONS, Average, Outcomes
from ggez_hub.evaluation.answers.scores import NotComparable, Score, mean, score_of
from ggez_hub.evaluation.benchmarks.drawing_scores import question_by_question
from ggez_hub.parity.intervals import Interval

Dimension: TypeAlias = Literal["countries", "languages", "categories"]
DIMENSIONS: tuple[Dimension, ...] = ("countries", "languages", "categories")


@dataclass(frozen=True)
class Breakdown:
    """A score by the parts of one dimension.

    micro is the mean over all questions, 0-100. macro is None where no interval can be given: fewer
    than two pictures. `unknown` counts questions of which the part is not recorded; they are in no
    part.
    """

    parts: Mapping[str, Score]
    micro: float
    macro: Interval | None
    unknown: int


def average_name(average: Average) -> str:
    """A way to average, as people know it."""
    return "micro, over questions" if average == QUESTIONS else f"macro, over {average}"


def questions_in(outcomes: Outcomes, dimension: Dimension) -> Outcomes:
    """What is broken down: the answers, or the questions about drawn prompts if these have parts."""
    drawn = question_by_question(outcomes) if dimension == "categories" else None
    return (drawn or outcomes).by(QUESTIONS)


def parts_of(outcomes: Outcomes, dimension: Dimension) -> dict[str, Outcomes]:
    """The answers of each part, by its name; nothing where it is recorded of no question."""
    where = _where(outcomes, dimension)
    values = np.array(where, dtype=object)
    return {n: outcomes.where(values == n) for n in sorted({n for n in where if n is not None})}


def breakdown(outcomes: Outcomes, dimension: Dimension) -> Breakdown | None:
    """The score by `dimension`, or None if it is recorded of no question."""
    asked = questions_in(outcomes, dimension)
    parts = parts_of(asked, dimension)
    if not parts:
        return None
    try:
        macro = mean(tuple(parts.values()))
    except NotComparable:
        macro = None
    return Breakdown(
        {name: score_of(part) for name, part in parts.items()},
        score_of(asked).score,
        macro,
        _where(asked, dimension).count(None),
    )


def breakdowns(outcomes: Outcomes) -> dict[Dimension, Breakdown]:
    """The breakdowns by every dimension that is recorded."""
    found = {dimension: breakdown(outcomes, dimension) for dimension in DIMENSIONS}
    return {dimension: value for dimension, value in found.items() if value is not None}


def _where(outcomes: Outcomes, dimension: Dimension) -> tuple[str | None, ...]:
    where: tuple[str | None, ...] = getattr(outcomes.details, dimension, ())
    return where
