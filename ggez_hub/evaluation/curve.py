"""A card's curve, from what was answered: beta key -> `<task id>/<split>` -> row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from ggez_hub.cards.curve import CountryScore, CurveRow
from ggez_hub.evaluation.betas import beta_key
from ggez_hub.evaluation.breakdown import breakdown
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.header import TaskRecord
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.scores import Score, score_of

Curve = dict[str, dict[str, CurveRow]]
# Of a model or a task that nobody has identified.
NOBODY = "0" * 64


def curve_of(evidence: Evidence) -> Curve:
    """The curve that predictions give."""
    header = evidence.header
    return curve_rows(
        evidence.outcomes,
        header.tasks,
        header.models,
        measured_by=header.measured_by,
        evaluator=header.evaluator,
        predictions=header.sha256,
    )


def curve_rows(
    outcomes: Mapping[Cell, Outcomes],
    tasks: Mapping[str, TaskRecord],
    models: Mapping[str, str],
    *,
    measured_by: Literal["self", "registry"],
    evaluator: str,
    predictions: str,
) -> Curve:
    """The same of outcomes.

    models: beta key -> digest; evaluator: the commit of the code that measured; predictions: what
    `write_predictions` returned for these outcomes, or `unknown`.
    """
    curve: Curve = {}
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
