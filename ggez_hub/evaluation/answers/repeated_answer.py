"""The answers of several runs of one model to one question, as predictions record them."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, ValidationError

from ggez_hub.frozen_model import FrozenModel


class RunAnswer(FrozenModel):
    """What one run of the model replied, and what that is worth, 0 to 1."""

    reply: str
    worth: Annotated[float, Field(ge=0, le=1)]


class RepeatedAnswer(FrozenModel):
    """One question; what it is worth is the mean over the runs."""

    runs: tuple[RunAnswer, ...] = Field(min_length=1)

    @classmethod
    def of(cls, replies: Sequence[str], worth: Sequence[float]) -> RepeatedAnswer:
        answers = zip(replies, worth, strict=True)
        return cls(runs=tuple(RunAnswer(reply=reply, worth=w) for reply, w in answers))

    @property
    def credit(self) -> float:
        return math.fsum(run.worth for run in self.runs) / len(self.runs)

    def as_text(self) -> str:
        """The record as JSON, the column `raw` of the predictions."""
        return json.dumps(self.model_dump(mode="json"), ensure_ascii=False)

    @classmethod
    def from_text(cls, text: str | None) -> RepeatedAnswer | None:
        """The record that `as_text` wrote; None for anything else."""
        try:
            return cls.model_validate_json(text or "")
        except ValidationError:
            return None
