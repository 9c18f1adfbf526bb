"""The models that a spec asks for, opened before the first part, and what the report says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ggez_hub.data.judging import PictureEvidence, Translator
from ggez_hub.data.plan import Plan
from ggez_hub.data.scorers.base import Scorer
from ggez_hub.data.scorers.column import ColumnScores
from ggez_hub.data.spec import FilterSpec
from ggez_hub.data.work import Work

SCORERS: dict[str, Callable[[Any], Scorer]] = {"column": ColumnScores.of}


@dataclass(frozen=True)
class Models:
    """What is needed of scorer, translator and a model of pictures."""

    spec: FilterSpec
    scorer: Scorer | None = None
    evidence: PictureEvidence | None = None
    translator: Translator | None = None

    def reward_block(self) -> dict[str, Any] | str:
        """What the report says of the reward filter."""
        spec = self.spec.reward
        if spec == "none" or self.scorer is None:
            return "none"
        return {
            "scorer": self.scorer.name,
            "languages": sorted(self.scorer.languages),
            "threshold": spec.threshold,
            "comparison": spec.comparison,
            "agreement": "unmeasured",
        }

    def translator_line(self) -> str:
        """What the card says of the translator."""
        return "none"


def open_models(plan: Plan, work: Work) -> Models:
    """Open what the spec asks for; nothing is imported that it does not need."""
    del work
    spec = plan.spec
    scorer = None
    if spec.reward != "none":
        scorer = SCORERS[spec.reward.scorer.kind](spec.reward.scorer)
    return Models(spec, scorer)
