"""Outcomes divided by side of parity, and scores by country, language and category.

Q_others is the global side without the region's own items: what a claim of retention rests on, since
the global side may contain the region. An item of which no country is recorded counts as outside.

The micro average is the mean over questions; the macro average is the mean over the parts, so that
a country with 32 questions counts as much as one with 752. Both are given; which of them is the score
is fixed by the task (`average`), whatever region is asked for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from ggez_hub.evaluation.answers.outcomes import ANSWERS, QUESTIONS, Average, Outcomes
from ggez_hub.evaluation.answers.scores import NotComparable, Score, Sides, mean, score_of
from ggez_hub.evaluation.benchmarks.drawing_scores import question_by_question
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.parity.betas import Beta, as_json
from ggez_hub.parity.intervals import Interval
from ggez_hub.regions import find_region

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
    named = {QUESTIONS: "micro, over questions", ANSWERS: "macro, over right answers (balanced)"}
    return named.get(average, f"macro, over {average}")


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


@dataclass(frozen=True, eq=False)
class Suite:
    """The outcomes of one model on one scale, task by task, on the three sides.

    `inside` counts items of the global side that are of the region, `unplaced` those of which no
    country is recorded.
    """

    world: Mapping[str, Outcomes]
    others: Mapping[str, Outcomes]
    regional: Mapping[str, Outcomes]
    inside: int
    unplaced: int

    @property
    def sides(self) -> Sides:
        return Sides(tuple(self.world.values()), tuple(self.regional.values()))


def suite(evidence: Evidence, beta: Beta, split: str, scale: str) -> Suite:
    """What one model answered on one split and scale."""
    members = frozenset(find_region(evidence.header.region).members)
    world, others, regional = {}, {}, {}
    inside = unplaced = 0
    for name, outcomes in evidence.tasks_at(beta, split).items():
        record = evidence.header.tasks[name]
        if record.scale != scale or record.side == "safety":
            continue
        if record.side == "regional":
            regional[name] = outcomes
            continue
        if record.side == "global":
            world[name] = outcomes
        abroad = outside(outcomes, members)
        inside += len(outcomes) - len(abroad)
        unplaced += outcomes.recorded("countries").count(None)
        if len(abroad):
            others[name] = abroad
    return Suite(world, others, regional, inside, unplaced)


def outside(outcomes: Outcomes, members: Collection[str]) -> Outcomes:
    """The questions that are not about a country of the region."""
    keep = [country not in members for country in outcomes.recorded("countries")]
    return outcomes.where(np.array(keep, bool))


def pareto(evidence: Evidence, split: str) -> list[dict[str, Any]]:
    """Every beta with its score on each side and scale, in place of a GRP, and the betas that dominate it.

    A beta dominates another if it is nowhere lower and somewhere higher. Raises NotComparable where a
    side has one picture, which gives no interval.
    """
    vectors: dict[Beta, dict[tuple[str, str], Interval]] = {}
    for beta in evidence.betas(split):
        groups: dict[tuple[str, str], list[Outcomes]] = {}
        for name, outcomes in evidence.tasks_at(beta, split).items():
            record = evidence.header.tasks[name]
            if record.side == "safety":
                continue
            groups.setdefault((record.side, record.scale), []).append(outcomes)
        vectors[beta] = {key: mean(tasks) for key, tasks in sorted(groups.items())}

    def dominates(first: Beta, second: Beta) -> bool:
        one, other = vectors[first], vectors[second]
        if not other or set(one) != set(other):
            return False
        differences = [one[key].value - other[key].value for key in other]
        return min(differences) >= 0 and max(differences) > 0

    return [
        {
            "beta": as_json(beta),
            "scores": [
                {"side": side, "scale": scale, **value.as_dict()}
                for (side, scale), value in scores.items()
            ],
            "dominated_by": [as_json(other) for other in vectors if dominates(other, beta)],
        }
        for beta, scores in vectors.items()
    ]
