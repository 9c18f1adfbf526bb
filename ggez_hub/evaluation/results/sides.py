"""The sides of parity in predictions; a Pareto table where there is no GRP.

Q_others is the global side without the region's own items: what a claim of retention rests on, since
the global side may contain the region. An item of which no country is recorded counts as outside.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np

from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.answers.scores import Sides, mean
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.parity.betas import Beta
from ggez_hub.parity.intervals import Interval
from ggez_hub.regions import find_region


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
        """The two sides of parity."""
        return Sides(tuple(self.world.values()), tuple(self.regional.values()))


@dataclass(frozen=True)
class Vector:
    """The scores of one beta on every side and scale, and the betas that are nowhere worse."""

    beta: Beta
    scores: Mapping[tuple[str, str], Interval]
    dominated_by: tuple[Beta, ...]


def suite(evidence: Evidence, beta: Beta, split: str, scale: str) -> Suite:
    """What one model answered on one split and scale."""
    members = frozenset(find_region(evidence.header.region).members)
    world, others, regional = {}, {}, {}
    inside = unplaced = 0
    for name, outcomes in evidence.tasks_at(beta, split).items():
        record = evidence.header.tasks[name]
        if record.scale != scale:
            continue
        if record.side == "regional":
            regional[name] = outcomes
            continue
        if record.side == "global":
            world[name] = outcomes
        abroad = outside(outcomes, members)
        inside += len(outcomes) - len(abroad)
        unplaced += _countries(outcomes).count(None)
        if len(abroad):
            others[name] = abroad
    return Suite(world, others, regional, inside, unplaced)


def outside(outcomes: Outcomes, members: Collection[str]) -> Outcomes:
    """The questions that are not about a country of the region."""
    keep = [country not in members for country in _countries(outcomes)]
    return outcomes.where(np.array(keep, bool))


def _countries(outcomes: Outcomes) -> tuple[str | None, ...]:
    return outcomes.details.countries if outcomes.details else (None,) * len(outcomes)


def pareto(evidence: Evidence, split: str) -> tuple[Vector, ...]:
    """Every beta with its score on each side and scale, in place of a GRP."""
    vectors: dict[Beta, dict[tuple[str, str], Interval]] = {}
    for beta in evidence.betas(split):
        groups: dict[tuple[str, str], list[Outcomes]] = {}
        for name, outcomes in evidence.tasks_at(beta, split).items():
            record = evidence.header.tasks[name]
            groups.setdefault((record.side, record.scale), []).append(outcomes)
        vectors[beta] = {key: mean(tasks) for key, tasks in groups.items()}
    return tuple(
        Vector(
            beta,
            scores,
            tuple(b for b, other in vectors.items() if b != beta and _dominates(other, scores)),
        )
        for beta, scores in vectors.items()
    )


def _dominates(
    first: Mapping[tuple[str, str], Interval], second: Mapping[tuple[str, str], Interval]
) -> bool:
    """Whether `first` is nowhere lower and somewhere higher; never where it was not measured."""
    if not second or set(first) != set(second):
        return False
    differences = [first[key].value - second[key].value for key in second]
    return min(differences) >= 0 and max(differences) > 0
