"""A card's curve, from what was answered: beta key -> `<task id>/<split>` -> row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.cards.curve import (
    SPLITS,
    CountryScore,
    CurveRow,
    MeasuredCurve,
    SideScores,
    Split,
    SplitParity,
)
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes
from ggez_hub.evaluation.answers.scores import Score, corrected_points, score_of
from ggez_hub.evaluation.results.breakdown import breakdown
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import TaskRecord
from ggez_hub.evaluation.results.sides import suite
from ggez_hub.parity.betas import beta_key
from ggez_hub.parity.card_rows import NoCurve, measured_rows, scale_of
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import count_changes
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.policy_outcomes import PolicyOutcome, policy_outcomes
from ggez_hub.parity.screening import screen

# Digits of what is stored: far more than any error of measurement has.
DIGITS = 10
STORED_DIGITS = 7
Floats: TypeAlias = NDArray[np.float64]
Values: TypeAlias = Callable[[Outcomes], Floats]


def split_parity(
    evidence: Evidence,
    split: str,
    scale: str,
    without: frozenset[str],
    measured_by: Literal["self", "registry"],
    is_at_chance: bool,
) -> SplitParity | None:
    """The sides over the tasks of a scale, but for those in `without`.

    A task that was not answered at every beta is left out. None where a side is empty or the pictures
    are too few for an error.
    """
    suites = {beta: suite(evidence, beta, split, scale) for beta in evidence.betas(split)}
    complete = {
        beta: found
        for beta, found in suites.items()
        if set(found.world) - without and set(found.regional) - without
    }
    if not complete:
        return None
    # A mean over other tasks at another beta would be another figure.
    common = set.intersection(*({*f.world, *f.others, *f.regional} for f in complete.values()))
    without |= {name for f in complete.values() for name in {*f.world, *f.regional} - common}
    at = list(complete.values())
    if not all(set(f.world) - without and set(f.regional) - without for f in at):
        return None
    names = [{**found.world, **found.others, **found.regional}.keys() - without for found in at]
    world = [_tasks(found.world, without) for found in at]
    others = [_tasks(found.others, without) for found in at]
    regional = [_tasks(found.regional, without) for found in at]
    has_others = all(others)
    same = has_others and all(
        [t.items for t in one] == [t.items for t in other]
        for one, other in zip(world, others, strict=True)
    )
    stored = [world, *([others] if has_others and not same else []), regional]
    pictures = sorted({p for side in stored for tasks in side for t in tasks for p in t.pictures})
    if len(pictures) < 2 or any(_pictures(side[0]) < 2 for side in stored):
        return None
    numbers = {picture: number for number, picture in enumerate(pictures)}
    added = np.stack(
        [np.stack([_added(tasks, numbers) for tasks in side], axis=1) for side in stored],
        axis=1,
    )
    shares = np.stack(
        [_shares(tasks, numbers, corrected_points) for side in stored for tasks in side], axis=1
    )
    covariance = (shares.T @ shares) * (len(pictures) / (len(pictures) - 1))
    scores = [_side(side, numbers) for side in stored]
    return SplitParity(
        scale=scale,
        tasks=sorted(set.intersection(*map(set, names))),
        measured_by=measured_by,
        betas=[beta_key(beta) for beta in complete],
        q_global=scores[0],
        q_others="q_global" if same else scores[1] if has_others else "none",
        q_regional=scores[-1],
        regional_at_chance=is_at_chance,
        covariance=[_row(row[: number + 1]) for number, row in enumerate(covariance)],
        changed=[
            [_row(side[number, :number]) for number in range(1, len(side))]
            for side in count_changes(added)
        ],
    )


def _row(values: Floats) -> str:
    return " ".join(f"{value:.{STORED_DIGITS}g}" for value in values)


def at_chance(evidence: Evidence, split: str, scale: str) -> tuple[frozenset[str], bool]:
    """The tasks that leave the choice: not above chance at any beta, by a max-T corrected bound.

    The second value is whether no regional task is above chance.

    A side all of whose tasks are at chance keeps them, for there is no other figure of it.
    """
    betas = evidence.betas(split)
    answered = [evidence.tasks_at(beta, split) for beta in betas]
    sides: dict[str, dict[str, bool]] = {}
    for name, record in evidence.header.tasks.items():
        asked = [tasks[name] for tasks in answered if name in tasks]
        if record.scale == scale and asked:
            sides.setdefault(record.side, {})[name] = _is_above_chance(asked)
    left_out = frozenset(
        name
        for tasks in sides.values()
        if any(tasks.values())
        for name, above in tasks.items()
        if not above
    )
    return left_out, not any(sides.get("regional", {}).values())


def _is_above_chance(answered: Sequence[Outcomes]) -> bool:
    """Whether a task is above chance at one of its betas."""
    pictures = sorted({picture for outcomes in answered for picture in outcomes.pictures})
    if len(pictures) < 2:
        return False
    numbers = {picture: number for number, picture in enumerate(pictures)}
    shares = np.stack([_shares([outcomes], numbers, _points) for outcomes in answered], axis=1)
    covariance = (shares.T @ shares) * (len(pictures) / (len(pictures) - 1))
    scores = np.array([_mean([outcomes], _points) for outcomes in answered])
    floor = max(100 * outcomes.floor for outcomes in answered)
    return screen(scores, covariance, floor, len(pictures)).state == "above chance"


def _tasks(tasks: Mapping[str, Outcomes], without: frozenset[str]) -> list[Outcomes]:
    return [outcomes for name, outcomes in sorted(tasks.items()) if name not in without]


def _pictures(tasks: Sequence[Outcomes]) -> int:
    return len({picture for task in tasks for picture in task.pictures})


def _points(outcomes: Outcomes) -> Floats:
    return outcomes.values * 100.0


def _shares(tasks: Sequence[Outcomes], numbers: Mapping[str, int], values: Values) -> Floats:
    """The share (C,) of each picture in the error of a side's mean, linearised."""
    found = np.zeros(len(numbers))
    for task in tasks:
        points = values(task)
        rows = np.fromiter((numbers[p] for p in task.pictures), np.intp, len(task))
        residuals = (points - points.mean()) / (len(task) * len(tasks))
        found += np.bincount(rows, residuals, len(numbers))
    return found


def _added(tasks: Sequence[Outcomes], numbers: Mapping[str, int]) -> Floats:
    """What each picture (C,) adds to a side's mean of scores above chance, in points.

    A changed answer changes that of its own picture alone, also of a macro average.
    """
    found = np.zeros(len(numbers))
    for task in tasks:
        rows = np.fromiter((numbers[p] for p in task.pictures), np.intp, len(task))
        floor = task.floor
        points = task.weights * (task.worth - floor) * (100.0 / (1 - floor))
        found += np.bincount(rows, points / (len(task) * len(tasks)), len(numbers))
    return found


def _side(side: Sequence[Sequence[Outcomes]], numbers: Mapping[str, int]) -> SideScores:
    first = side[0]
    count = _pictures(first)
    errors = [
        math.sqrt(count / (count - 1) * float(np.square(_shares(tasks, numbers, _points)).sum()))
        for tasks in side
    ]
    return SideScores(
        score=[_rounded(_mean(tasks, _points)) for tasks in side],
        se=[_rounded(error) for error in errors],
        above_chance=[_rounded(_mean(tasks, corrected_points)) for tasks in side],
        floor=_rounded(math.fsum(100 * t.floor for t in first) / len(first)),
        pictures=count,
    )


def _mean(tasks: Sequence[Outcomes], values: Values) -> float:
    return math.fsum(math.fsum(values(t)) / len(t) for t in tasks) / len(tasks)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


Rows = dict[str, dict[str, CurveRow]]
# Of a model or a task that nobody has identified.
NOBODY = "0" * 64


@lru_cache(maxsize=2)  # report, gates and figures of one evidence each ask for it
def curve_of(evidence: Evidence) -> MeasuredCurve:
    """The curve that predictions give, with what its errors share."""
    header = evidence.header
    rows = curve_rows(
        evidence.outcomes,
        header.tasks,
        header.models,
        measured_by=header.measured_by,
        evaluator=header.evaluator,
        predictions=header.sha256,
    )
    return MeasuredCurve(rows, parity_of(evidence, rows), header.region)


@lru_cache(maxsize=2)
def policies_of(evidence: Evidence) -> tuple[PolicyOutcome, ...]:
    """What each policy chooses on validation, with what that keeps and gains."""
    header, measured = evidence.header, curve_of(evidence)
    return policy_outcomes(
        lambda split: ParityCurve.of(measured, split, header.region),
        header.alpha.value,
        Policy.parse(header.policy),
    )


def parity_of(evidence: Evidence, rows: Rows) -> dict[Split, SplitParity]:
    """The sides of each split that has both, over the tasks that validation does not find at chance."""
    select, measured_by = measured_rows(rows, "validation")
    found: dict[Split, SplitParity] = {}
    for split in SPLITS:
        try:
            scale = scale_of(rows, split)
        except NoCurve:
            continue
        screened = "validation" if any(select.values()) else split
        without, is_at_chance = at_chance(evidence, screened, scale)
        measured: Literal["self", "registry"] = "registry" if measured_by == "registry" else "self"
        if sides := split_parity(evidence, split, scale, without, measured, is_at_chance):
            found[split] = sides
    return found


def curve_rows(
    outcomes: Mapping[Cell, Outcomes],
    tasks: Mapping[str, TaskRecord],
    models: Mapping[str, str],
    *,
    measured_by: Literal["self", "registry"],
    evaluator: str,
    predictions: str,
) -> Rows:
    """The same of outcomes.

    models: beta key -> digest; evaluator: the commit of the code that measured; predictions: what
    `write_predictions` returned for these outcomes, or `unknown`.
    """
    curve: Rows = {}
    for cell in sorted(outcomes):
        record = tasks[cell.task]
        answered = outcomes[cell].by(record.average)
        if not len(answered):
            continue
        score, key = score_of(answered), beta_key(cell.beta)
        split: Literal["validation", "test"] = "test" if cell.split == "test" else "validation"
        curve.setdefault(key, {})[f"{cell.task}/{split}"] = CurveRow(
            score=score.score,
            n=score.n,
            se=score.se,
            floor=score.floor,
            metric=record.metric,
            judge=record.judge,
            split=split,
            side=record.side,
            average=record.average,
            by_country=by_country(answered, score, record.regions),
            measured_by=measured_by,
            evaluator=evaluator,
            model=models.get(key, NOBODY),
            task=record.digests.get(split, NOBODY),
            predictions=predictions,
        )
    return curve


def by_country(outcomes: Outcomes, score: Score, regions: list[str]) -> dict[str, CountryScore]:
    """The score of each country: of its items where they are recorded, else of the whole task."""
    parts = breakdown(outcomes, "countries")
    found = dict(parts.parts) if parts else dict.fromkeys(regions, score)
    return {
        country: CountryScore(score=s.score, n=s.n, se=s.se) for country, s in sorted(found.items())
    }
