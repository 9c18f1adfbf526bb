"""How many judgements show a difference, by simulation with the study's own design.

Simulated raters (see `simulation`) judge what `assignment` deals out to them, one model being better
than the base by so many points, and the test is that of the scores: an interval over raters and items
that leaves out 0. What is assumed beside it is the `Spread`, which belongs to a plan.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.people.estimates import (
    FEWEST_ITEMS,
    FEWEST_RATERS,
    Clusters,
    Term,
    estimate,
)
from ggez_hub.humans.assignment import cyclic_blocks, queue, raters_needed
from ggez_hub.humans.simulation import Floats, Sets, Spread, draw_values, points_of, sets_of
from ggez_hub.humans.study import MAX_ITEMS, SIDES, Side, Study
from ggez_hub.parity.effects import POWER
from ggez_hub.parity.score_intervals import NORMAL
from ggez_hub.regions import alpha

# Repetitions: fewer of large studies, whose values are this many together.
STUDIES, FEWEST_STUDIES, VALUES = 200, 40, 2_000_000
# Sets in which the quality is found that is worth so many points, by halving so many times.
CALIBRATION, HALVINGS, MOST_QUALITY = 40_000, 20, 4.0
# How often the number of items is corrected by the error that it has.
CORRECTIONS = 2


@dataclass(frozen=True)
class Workload:
    """What raters do together, and the power that this has.

    judgements  with repeats and gold
    shown       the difference in points that it shows in POWER of repetitions
    """

    items: int
    raters: int
    judgements: int
    power: float
    shown: float


@dataclass(frozen=True)
class Plan:
    """What a study can show by the design's first measure.

    groups   of raters: sides and languages
    planned  as the study is
    needed   with as many raters for each set, and more or fewer items and raters; None where that is
             more than a study can have
    """

    model: str
    other: str
    measure: str
    difference: float
    groups: tuple[tuple[Side, str], ...]
    planned: Workload
    needed: Workload | None
    spread: Spread
    target: float = POWER


def plan(
    study: Study, difference: float = 5.0, spread: Spread | None = None, seed: int = 0
) -> Plan:
    """The power for a difference of a model and the base, in points (0-100) of the first measure.

    Where both sides judge, of their mean by alpha: parity. Raises UsageProblem for a study of one
    model, and for a difference that no quality is worth.
    """
    trial = Trial(study, difference, spread or Spread(), seed)
    better, base = trial.compared
    planned = trial.workload(_items(study))
    return Plan(
        study.models[better].name,
        study.models[base].name,
        next(iter(study.design.measures)),
        difference,
        trial.groups,
        planned,
        trial.needed(planned),
        trial.spread,
    )


@dataclass(frozen=True)
class Trial:
    """Simulated repetitions of a study in which one model is better by `difference`."""

    study: Study
    difference: float
    spread: Spread
    seed: int

    @cached_property
    def groups(self) -> tuple[tuple[Side, str], ...]:
        """The sides and languages of raters that have something to judge."""
        study = self.study
        every = ((side, tag) for side in study.rater_sides for tag in study.raters[side])
        return tuple(group for group in every if raters_needed(study, *group))

    @cached_property
    def compared(self) -> tuple[int, int]:
        """The numbers of the better model and of the one that it is compared to."""
        roles = [model.role for model in self.study.models]
        if len(roles) < 2:
            raise UsageProblem("a study of one model compares nothing", "Add the base to models.")
        base = roles.index("base") if "base" in roles else 0
        others = [number for number in range(len(roles)) if number != base]
        return next((n for n in others if roles[n] == "merged"), others[0]), base

    @cached_property
    def quality(self) -> Floats:
        """How good the models are, so that the difference of two of them is as many points."""
        study, design = self.study, self.study.design
        blocks = np.array(cyclic_blocks(len(study.models), design.outputs))
        models = np.resize(blocks, (CALIBRATION, blocks.shape[1]))
        each = np.arange(CALIBRATION)
        sets = Sets(each, np.zeros_like(each), each, models)

        def worth(quality: float) -> float:
            random = np.random.default_rng(self.seed)
            good = self._with(quality)
            points = points_of(design, draw_values(sets, design, good, self.spread, random))
            better, base = self.compared
            return float(points[models == better].mean() - points[models == base].mean())

        low, high = 0.0, MOST_QUALITY
        # The same draws without a difference: chance is taken off.
        wanted = self.difference + worth(0.0)
        if worth(high) < wanted:
            raise UsageProblem(
                f"a difference of {self.difference:g} points is more than there can be"
            )
        for _ in range(HALVINGS):
            middle = (low + high) / 2
            low, high = (middle, high) if worth(middle) < wanted else (low, middle)
        return self._with(high)

    def _with(self, quality: float) -> Floats:
        good = np.zeros(len(self.study.models))
        good[self.compared[0]] = quality
        return good

    def needed(self, planned: Workload) -> Workload | None:
        """The workload that has the power, as far as repetitions show; None if it is too much."""
        found = planned
        for _ in range(CORRECTIONS):
            # It falls with the root of the items, and of the raters, who are in proportion.
            items = math.ceil(found.items * (found.shown / self.difference) ** 2)
            items = max(items, self._fewest())
            if items > MAX_ITEMS:
                return None
            found = self.workload(items)
        return found

    def _fewest(self) -> int:
        """About the fewest items with which the scores conclude anything."""
        items = FEWEST_ITEMS
        while items <= MAX_ITEMS and any(
            sum(n for (own, _), n in self._raters(items).items() if own == side) < FEWEST_RATERS
            for side in self.study.rater_sides
        ):
            items += math.ceil(items / 8)
        return items

    def _raters(self, items: int) -> dict[tuple[Side, str], int]:
        study = _with_items(self.study, items)
        return {group: raters_needed(study, *group) for group in self.groups}

    def workload(self, items: int) -> Workload:
        """What raters of the study have to do with so many items, and how often they show it."""
        study, raters = _with_items(self.study, items), self._raters(items)
        sets = sets_of(study, raters)
        n, k = sets.models.shape
        whose = np.repeat(np.arange(n), k)
        by = Clusters(sets.raters[whose], sets.sides[whose], sets.items[whose], whose)
        terms, random = self._terms(sets, by), np.random.default_rng(self.seed)
        repetitions = min(max(VALUES // (n * k), FEWEST_STUDIES), STUDIES)
        found = [
            estimate(
                points_of(
                    study.design,
                    draw_values(sets, study.design, self.quality, self.spread, random),
                ).ravel(),
                by,
                terms,
                is_difference=True,
                sides=study.rater_sides,
            )
            for _ in range(repetitions)
        ]
        return Workload(
            items,
            sum(raters.values()),
            sum(
                len(queue(study, *group, number))
                for group, count in raters.items()
                for number in range(count)
            ),
            sum(one.verdict == "ahead" for one in found) / repetitions,
            float(
                np.mean([one.high - one.value for one in found])
                + NORMAL.inv_cdf(POWER) * np.std([one.value for one in found])
            ),
        )

    def _terms(self, sets: Sets, by: Clusters) -> list[Term]:
        sides = self.study.rater_sides
        weights: Mapping[Side, float] = dict.fromkeys(sides, 1.0)
        if len(sides) > 1:
            factor = alpha(self.study.region).value
            weights = {"global": factor, "regional": 1 - factor}
        shown = sets.models.ravel()
        return [
            Term(sign * weights[side], (shown == model) & (by.sides == SIDES.index(side)))
            for model, sign in zip(self.compared, (1, -1), strict=True)
            for side in sides
        ]


def _items(study: Study) -> int:
    return sum(item.gold is None for item in study.items)


def _with_items(study: Study, count: int) -> Study:
    """The study with so many of its items, again and again where it has fewer."""
    judged = [item for item in study.items if item.gold is None]
    copies = [
        judged[n % len(judged)].model_copy(update={"id": f"{judged[n % len(judged)].id}#{n}"})
        for n in range(count)
    ]
    gold = [item for item in study.items if item.gold is not None]
    return Study.model_construct(**{**dict(study), "items": (*copies, *gold)})
