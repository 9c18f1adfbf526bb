"""Raters by script whose preference is known: for plans and benchmarks, never for claims.

A judgement follows from how good an output seems, a sum of normal parts: the model's quality, how well
the item comes out with any model and with this one, how lenient the rater is and how fond of this
model, and chance. With `Spread` as it is they have the variance 1 together, and answers on a scale
are used equally often where the quality is 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.humans.assignment import queue
from ggez_hub.humans.design import Design
from ggez_hub.humans.study import Side, Study
from ggez_hub.parity.score_intervals import NORMAL

Floats: TypeAlias = NDArray[np.float64]
Integers: TypeAlias = NDArray[np.int64]
# Outputs nearer to each other than this seem equally good; both of a pair are bad below the second.
EQUAL, BAD = 0.25, -1.25


@dataclass(frozen=True)
class Spread:
    """What makes judgements differ: the standard deviations of the parts.

    items, outputs   how well an item comes out with any model, and with one
    raters, tastes   how lenient a rater is, and how fond of one model
    noise            what differs when the same rater judges the same again
    """

    items: float = 0.5
    outputs: float = 0.5
    raters: float = 0.4
    tastes: float = 0.2
    noise: float = 0.55

    @property
    def total(self) -> float:
        """The standard deviation of all of them together."""
        return math.hypot(*(getattr(self, own.name) for own in fields(self)))

    def __str__(self) -> str:
        shares = {own.name: (getattr(self, own.name) / self.total) ** 2 for own in fields(self)}
        return ", ".join(f"{name} {share:.0%}" for name, share in shares.items())


class Sets(NamedTuple):
    """What raters are shown, n sets of k outputs: models is (n, k), the others (n).

    sides are 0 for global and 1 for regional raters.
    """

    raters: Integers
    sides: Integers
    items: Integers
    models: Integers


def sets_of(study: Study, raters: Mapping[tuple[Side, str], int]) -> Sets:
    """What the first so many raters of each side and language judge, without repeats and gold."""
    items = {item.id: number for number, item in enumerate(study.items)}
    models = {model.name: number for number, model in enumerate(study.models)}
    rows: list[tuple[int, int, int]] = []
    shown: list[list[int]] = []
    for (side, language), count in raters.items():
        for number in range(count):
            own = [s for s in queue(study, side, language, number) if not (s.gold or s.occurrence)]
            whose = rows[-1][0] + 1 if rows else 0
            rows += [(whose, int(side == "regional"), items[s.item]) for s in own]
            shown += [[models[name] for name in s.models] for s in own]
    who, sides, about = np.array(rows, np.int64).reshape(-1, 3).T
    return Sets(who, sides, about, np.array(shown, np.int64).reshape(len(rows), -1))


def draw_values(
    sets: Sets, design: Design, quality: Floats, spread: Spread, random: np.random.Generator
) -> Floats:
    """One draw of items, raters and chance: (n, k) values of the design's first measure.

    quality  (models): of each model, or (2, models) of each model for raters of each side
    """
    seems = _seems(sets, quality, spread, random)
    return _values(design, seems + random.normal(0, spread.noise, seems.shape))


def _seems(sets: Sets, quality: Floats, spread: Spread, random: np.random.Generator) -> Floats:
    """(n, k): how good each output seems to its rater, but for chance."""
    raters, items = (int(codes.max(initial=-1)) + 1 for codes in (sets.raters, sets.items))
    models = quality.shape[-1]
    who, about, shown = sets.raters[:, None], sets.items[:, None], sets.models
    of_side = np.broadcast_to(quality, (2, models))
    found: Floats = (
        of_side[sets.sides[:, None], shown]
        + random.normal(0, spread.items, items)[about]
        + random.normal(0, spread.outputs, (items, models))[about, shown]
        + random.normal(0, spread.raters, raters)[who]
        + random.normal(0, spread.tastes, (raters, models))[who, shown]
    )
    return found


def _values(design: Design, seems: Floats) -> Floats:
    """The values that a rater gives to outputs (n, k) that seem so good."""
    if design.scales:
        points = design.scales[0].points
        cuts = [NORMAL.inv_cdf(cut / points) for cut in range(1, points)]
        return 1.0 + (seems[..., None] > cuts).sum(axis=-1)
    if design.ranking:
        # Steps of an impression: equally good is transitive, as in an order with ties.
        steps = np.round(seems / EQUAL) if design.ranking.ties else seems
        ahead = steps[..., None] - steps[..., None, :]
        return 1.0 + (ahead < 0).sum(axis=-1) + ((ahead == 0).sum(axis=-1) - 1) / 2
    apart = seems[:, 0] - seems[:, 1]
    tied = bool(design.preference and design.preference.tie) & (np.abs(apart) < EQUAL)
    both_bad = bool(design.preference and design.preference.both_bad) & (seems < BAD).all(axis=1)
    first = np.where(tied | both_bad, 0.5, (apart > 0).astype(np.float64))
    return np.stack([first, 1 - first], axis=1)


def points_of(design: Design, values: Floats) -> Floats:
    """Values of the first measure on 0 (worst) to 100 (best)."""
    worst, best = next(iter(design.measures.values()))
    return 100 * (values - worst) / (best - worst)
