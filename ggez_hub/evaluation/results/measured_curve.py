"""A card's curve, from what was answered: beta key -> `<task id>/<split>` -> row."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import chain
from typing import Literal

from ggez_hub.cards.curve import (
    SPLITS,
    CountryScore,
    CurveRow,
    MeasuredCurve,
    Rows,
    SideScores,
    Split,
    SplitParity,
)
from ggez_hub.evaluation.answers.outcomes import Answers, Outcomes, TaskRecord
from ggez_hub.evaluation.answers.scores import NotComparable, Score, answer_moments, score_of
from ggez_hub.evaluation.results.breakdown import breakdown, suite
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.parity.betas import Beta, beta_key
from ggez_hub.parity.card_rows import NoCurve, measured_rows, scale_of, tasks_to_leave_out
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL, SIDES, Floats, Moments
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.policy_outcomes import PolicyOutcome, policy_outcomes
from ggez_hub.parity.screening import LEVEL, guessing_probability

# Of a model or a task that nobody has identified.
NOBODY = "0" * 64
# Digits of what is stored: far more than any error of measurement has.
DIGITS = 10
STORED_DIGITS = 7


def split_parity(
    evidence: Evidence,
    rows: Rows,
    split: Split,
    measured_by: Literal["self", "registry"],
    closed: Answers | None = None,
) -> SplitParity | None:
    """The sides of a split over the tasks that validation does not find at chance.

    A task that was not answered at every beta is left out. With `closed` the scores are of these
    answers, over the same tasks. None where a side is empty or the pictures are too few for an error.
    """
    try:
        scale = scale_of(rows, split)
    except NoCurve:
        return None
    has_validation = any(measured_rows(rows, "validation")[0].values())
    without, is_at_chance = at_chance(evidence, "validation" if has_validation else split, scale)
    if closed is not None:
        evidence = replace(evidence, outcomes=closed, baselines={})
    grid: dict[Beta, list[dict[str, Outcomes]]] = {}
    for beta in evidence.betas(split):
        found = suite(evidence, beta, split, scale)
        world, others, regional = (
            {name: side[name] for name in sorted(side) if name not in without}
            for side in (found.world, found.others, found.regional)
        )
        if world and regional:
            grid[beta] = [world, others, regional]
    if not grid:
        return None
    # A mean over other tasks at another beta would be another figure.
    common = set.intersection(*({*chain(*sides)} for sides in grid.values()))
    models = [
        [[side[name] for name in side if name in common] for side in sides]
        for sides in grid.values()
    ]
    if not all(world and regional for world, _, regional in models):
        return None
    if not all(others for _, others, _ in models):
        models = [[world, [], regional] for world, _, regional in models]
    try:
        moments = answer_moments(models)
    except NotComparable:
        return None
    if 1 in moments.pictures:
        return None
    stored = [side for side in SIDES if moments.pictures[side]]
    q_others: SideScores | Literal["q_global", "none"] = "none"
    if OTHERS in stored:
        q_others = _side(moments, OTHERS)
        if all(
            [t.items for t in world] == [t.items for t in abroad] for world, abroad, _ in models
        ):
            stored.remove(OTHERS)
            q_others = "q_global"
    covariance = moments.covariance[stored][:, :, stored].reshape(2 * [len(stored) * len(grid)])
    return SplitParity(
        scale=scale,
        tasks=sorted(common),
        measured_by=measured_by,
        betas=[beta_key(beta) for beta in grid],
        q_global=_side(moments, GLOBAL),
        q_others=q_others,
        q_regional=_side(moments, REGIONAL),
        regional_at_chance=is_at_chance,
        covariance=[_row(row[: number + 1]) for number, row in enumerate(covariance)],
        changed=[
            [_row(changed[number, :number]) for number in range(1, len(grid))]
            for changed in moments.changed[stored]
        ],
    )


def _side(moments: Moments, side: int) -> SideScores:
    def rounded(values: Iterable[float]) -> list[float]:
        return [float(f"{value:.{DIGITS}g}") for value in values]

    return SideScores(
        score=rounded(moments.scores[side]),
        se=rounded(moments.errors[side]),
        above_chance=rounded(moments.means[side]),
        floor=rounded([moments.floors[side]])[0],
        pictures=moments.pictures[side],
    )


def _row(values: Floats) -> str:
    return " ".join(f"{value:.{STORED_DIGITS}g}" for value in values)


def at_chance(evidence: Evidence, split: str, scale: str) -> tuple[frozenset[str], bool]:
    """The tasks that leave the choice: not above chance at any beta, by a max-T corrected bound.

    The second value is whether no regional task is above chance.

    A side all of whose tasks are at chance keeps them, for there is no other figure of it.
    """
    answered = [evidence.tasks_at(beta, split) for beta in evidence.betas(split)]
    sides: dict[str, dict[str, bool]] = {}
    for name, record in evidence.header.tasks.items():
        asked = [tasks[name] for tasks in answered if name in tasks]
        if record.scale == scale and asked:
            sides.setdefault(record.side, {})[name] = _is_above_chance(asked)
    return tasks_to_leave_out(sides)


def _is_above_chance(answered: Sequence[Outcomes]) -> bool:
    try:
        moments = answer_moments([([outcomes], (), ()) for outcomes in answered], raw=True)
    except NotComparable:
        return False
    covariance = moments.covariance[GLOBAL, :, GLOBAL]
    floor = max(100 * outcomes.floor for outcomes in answered)
    pictures = moments.pictures[GLOBAL]
    return guessing_probability(moments.means[GLOBAL], covariance, floor, pictures) < LEVEL


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


def parity_curve(evidence: Evidence, split: Split) -> ParityCurve:
    """The sides of parity on a split at every beta; raises NoCurve."""
    return ParityCurve.of(curve_of(evidence), split, evidence.header.region)


@lru_cache(maxsize=2)
def policies_of(evidence: Evidence) -> tuple[PolicyOutcome, ...]:
    """What each policy chooses on validation, with what that keeps and gains."""
    header = evidence.header
    return policy_outcomes(
        lambda split: parity_curve(evidence, split), header.alpha.value, Policy.parse(header.policy)
    )


def parity_of(evidence: Evidence, rows: Rows) -> dict[Split, SplitParity]:
    """The sides of each split that has both."""
    by = measured_rows(rows, "validation")[1]
    measured_by: Literal["self", "registry"] = "registry" if by == "registry" else "self"
    found = {split: split_parity(evidence, rows, split, measured_by) for split in SPLITS}
    return {split: sides for split, sides in found.items() if sides is not None}


def curve_rows(
    outcomes: Answers,
    tasks: Mapping[str, TaskRecord],
    models: Mapping[str, str],
    *,
    measured_by: Literal["self", "registry"],
    evaluator: str,
    predictions: str,
) -> dict[str, dict[str, CurveRow]]:
    """The same of outcomes.

    models: beta key -> digest; evaluator: the commit of the code that measured; predictions: what
    `write_predictions` returned for these outcomes, or `unknown`.
    """
    curve: dict[str, dict[str, CurveRow]] = {}
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
            runs=record.runs,
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
