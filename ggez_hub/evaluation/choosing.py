"""How sure the choice of beta is, and what it is worth where there are few items.

P(beta* = b) is how often the rule takes b when the pictures of the select side are drawn anew. With
fewer than 400 items a select side is too small to be held apart: then all items are used, and beta
is cross-fitted by picture. For each fifth of the pictures beta is chosen on the other four, so what
is reported never saw the choice.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ggez_hub.evaluation.betas import Beta, is_base
from ggez_hub.evaluation.bootstrap import DRAWS, draw
from ggez_hub.evaluation.comparison import (
    Estimate,
    Sides,
    corrected_points,
    parity,
    parity_difference,
    weighted,
)
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.quantities import suite
from ggez_hub.evaluation.selection import Split
from ggez_hub.evaluation.trade_off import choose

FEW_ITEMS = 400
FOLDS = 5
SELECT: Split = "validation"
REPORT: Split = "test"


@dataclass(frozen=True)
class CrossFitted:
    """What a beta chosen without a picture is worth on that picture.

    folds      the beta chosen for each fold
    held_out   the answers that saw no choice, each at its fold's beta
    grp        of the held-out answers
    over_base  the same less that of the base, item by item
    """

    folds: tuple[Beta, ...]
    held_out: Sides
    grp: Estimate
    over_base: Estimate | None


def probabilities(
    by_beta: Mapping[Beta, Sides], alpha: float, errors: Mapping[Beta, float], draws: int = DRAWS
) -> dict[Beta, float]:
    """P(beta* = b) over bootstrap draws of pictures, which are drawn alike for every beta.

    errors: beta -> the standard error that the rule allows where this beta is the best.
    """
    betas = sorted(by_beta)
    pictures = [p for sides in by_beta.values() for task in _tasks(sides) for p in task.pictures]
    drawn = draw(pictures, draws)
    parities = np.stack(
        [
            sum(
                weight * drawn.means(task.pictures, corrected_points(task))
                for weight, task in weighted(by_beta[beta], alpha)
            )
            for beta in betas
        ],
        axis=1,
    )
    allowed = [errors[beta] for beta in betas]
    taken = Counter(
        choose(row, allowed) for row in parities.tolist() if not any(math.isnan(v) for v in row)
    )
    total = sum(taken.values())
    return {beta: taken[i] / total if total else math.nan for i, beta in enumerate(betas)}


def choose_from(by_beta: Mapping[Beta, Sides], alpha: float) -> Beta:
    """The smallest beta within one standard error of the best GRP of the answers."""
    betas = sorted(by_beta)
    found = [parity(by_beta[beta], alpha) for beta in betas]
    return betas[choose([e.value for e in found], [e.se for e in found])]


def sides_by_beta(
    evidence: Evidence, splits: Sequence[str], scale: str, without: Sequence[str] = ()
) -> dict[Beta, Sides]:
    """The sides at every beta that was measured on all `splits`, whose questions stand together.

    The tasks `without` are left out; so is a beta at which a side is empty.
    """
    found = {}
    for beta in sorted(set.intersection(*(set(evidence.betas(split)) for split in splits))):
        world: dict[str, Outcomes] = {}
        regional: dict[str, Outcomes] = {}
        for at in (suite(evidence, beta, split, scale) for split in splits):
            for whole, part in ((world, at.world), (regional, at.regional)):
                for name, outcomes in part.items():
                    whole[name] = whole[name].joined(outcomes) if name in whole else outcomes
        sides = Sides(
            tuple(o for name, o in world.items() if name not in without),
            tuple(o for name, o in regional.items() if name not in without),
        )
        if sides.global_tasks and sides.regional_tasks:
            found[beta] = sides
    return found


def items_of(by_beta: Mapping[Beta, Sides]) -> int:
    """The items of the smaller side, at the beta that has the fewest."""
    return min(
        (
            min(sum(map(len, sides.global_tasks)), sum(map(len, sides.regional_tasks)))
            for sides in by_beta.values()
        ),
        default=0,
    )


def cross_fit(by_beta: Mapping[Beta, Sides], alpha: float) -> CrossFitted:
    """Choose on four fifths of the pictures, report on the other.

    Raises NotComparable where the betas were not asked the same questions, or there are too few.
    """
    fold_of = _folds({p for s in by_beta.values() for task in _tasks(s) for p in task.pictures})
    folds = tuple(
        choose_from({b: _without(sides, fold_of, fold) for b, sides in by_beta.items()}, alpha)
        for fold in range(FOLDS)
    )
    base = next((sides for beta, sides in by_beta.items() if is_base(beta)), None)
    first = base or next(iter(by_beta.values()))
    for sides in by_beta.values():
        # What differs in its questions cannot be put together item by item.
        parity_difference(sides, first, alpha)
    held_out = Sides(
        *(
            tuple(
                _held_out([by_beta[b] for b in folds], fold_of, side, number)
                for number in range(len(getattr(first, side)))
            )
            for side in ("global_tasks", "regional_tasks")
        )
    )
    return CrossFitted(
        folds,
        held_out,
        parity(held_out, alpha),
        parity_difference(held_out, base, alpha) if base else None,
    )


def _folds(pictures: set[str]) -> dict[str, int]:
    """A fold for each picture: by a hash, so that it is the same everywhere, and of equal size."""
    order = sorted(pictures, key=lambda p: hashlib.sha256(p.encode()).digest())
    return {picture: number % FOLDS for number, picture in enumerate(order)}


def _without(sides: Sides, fold_of: Mapping[str, int], fold: int) -> Sides:
    def of(tasks: tuple[Outcomes, ...]) -> tuple[Outcomes, ...]:
        parts = (t.where(np.array([fold_of[p] != fold for p in t.pictures], bool)) for t in tasks)
        return tuple(part for part in parts if len(part))

    return Sides(of(sides.global_tasks), of(sides.regional_tasks))


def _held_out(
    at_fold: Sequence[Sides], fold_of: Mapping[str, int], side: str, number: int
) -> Outcomes:
    """One task whose every answer is that of the model chosen without its picture."""
    answers: list[Outcomes] = [getattr(sides, side)[number] for sides in at_fold]
    fold = np.array([fold_of[picture] for picture in answers[0].pictures])
    rows = np.arange(len(fold))
    return replace(
        answers[0],
        correct=np.stack([a.correct for a in answers])[fold, rows],
        rank=np.stack([a.rank for a in answers])[fold, rows],
        credit=None
        if answers[0].credit is None
        else np.stack([a.worth for a in answers])[fold, rows],
        predicted=tuple(answers[f].predicted[row] for row, f in enumerate(fold)),
    )


def _tasks(sides: Sides) -> tuple[Outcomes, ...]:
    return sides.global_tasks + sides.regional_tasks
