"""What was measured beside the merge: a switch by the prompt's language, and other baselines."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ggez_hub.cards.values import BetaKey, LanguageTag, Sha256, Text
from ggez_hub.frozen_model import FrozenModel


class Figure(FrozenModel):
    """A figure in points with its 95 % interval; `undetermined` where the interval is not reliable."""

    value: float
    low: float
    high: float
    undetermined: bool = False


class Baseline(FrozenModel):
    """GRP of one model, and the paired difference in GRP to the merge.

    `predictions` is the sha256 of its answers; a switch has those of the curve.
    """

    grp: Figure
    over_merge: Figure
    predictions: Sha256


class SwitchBaseline(FrozenModel):
    """The adapter on for prompts in `languages`, by what their text was identified as.

    `reason` is why the language is not a cue, where it is not. `misrouted` of the `prompts` went to the
    wrong one of the two.
    """

    languages: list[LanguageTag] = Field(min_length=1)
    cue: bool
    reason: Text = ""
    prompts: int = Field(gt=0)
    misrouted: int = Field(ge=0)
    grp: Figure
    over_merge: Figure


class Baselines(FrozenModel):
    """Baselines on one split, at the card's alpha; the merge that they stand beside is at `beta`."""

    split: Literal["validation", "test"]
    scale: Text
    beta: BetaKey
    measured_by: Literal["self", "registry"]
    switch: SwitchBaseline | None = None
    average: Baseline | None = None
    joint: Baseline | None = None
