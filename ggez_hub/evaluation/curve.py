"""A card's curve, from what was answered: beta key -> `<task id>/<split>` -> row."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Literal

from ggez_hub.cards.curve import (
    SPLITS,
    CountryScore,
    CurveRow,
    MeasuredCurve,
    Split,
    SplitParity,
)
from ggez_hub.evaluation.breakdown import breakdown
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.header import TaskRecord
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.scores import Score, score_of
from ggez_hub.evaluation.split_parity import at_chance, split_parity
from ggez_hub.parity.betas import beta_key
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.policies import PolicyOutcome, policy_outcomes
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.rows import NoCurve, measured_rows, scale_of

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
