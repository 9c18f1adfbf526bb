"""The curve of a card: scores of base + beta * Delta, by beta and task."""

from __future__ import annotations

from typing import Literal, TypeAlias

from pydantic import Field

from ggez_hub.cards.values import BetaKey, Block, RegionId, Score, Sha256, Text, Unknown


class CountryScore(Block):
    """A score on the items of one country or group."""

    score: Score
    n: int = Field(gt=0)
    se: float = Field(ge=0)


class CurveRow(Block):
    """A score of base + beta * Delta on one task; `floor` is the score of guessing.

    `judge` is the model or the people that decided, where the metric alone does not: another judge
    is another scale. `average` is what the score is the mean over: the task decides it.
    """

    score: Score
    n: int = Field(gt=0)
    se: float = Field(ge=0)
    floor: Score
    ceiling: Score = 100.0
    metric: Text
    judge: Text = "none"
    split: Literal["validation", "test"]
    side: Literal["global", "others", "regional"]
    average: Literal["questions", "countries", "languages", "categories"] = "questions"
    by_country: dict[RegionId, CountryScore] = Field({})
    measured_by: Literal["self", "registry"]
    evaluator: Text
    model: Sha256
    task: Sha256
    predictions: Sha256 | Unknown

    @property
    def scale(self) -> str:
        """What may be averaged and ranked together: one metric, of one judge."""
        return self.metric if self.judge == "none" else f"{self.metric} by {self.judge}"


Curve: TypeAlias = dict[BetaKey, dict[Text, CurveRow]]
