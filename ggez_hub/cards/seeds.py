"""What other seeds of an adapter score: base and adapter as they are trained anew, over the same grid.

The published adapter's own seed stands in `training`, its scores in `curve`. Seeds are always the
author's claim: the registry measures what is published.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from ggez_hub.cards.curve import OrWord, Split
from ggez_hub.cards.values import BetaKey, Sha256, Text, Unknown
from ggez_hub.frozen_model import FrozenModel

AboveChance = Annotated[float, Field(le=100)]


class SeedSides(FrozenModel):
    """The sides of parity at each of `betas`, above chance: 0 at chance, 100 at the ceiling.

    `tasks` are those that decide. `q_others` is "none" where no item is outside the region,
    "q_global" where none is inside.
    """

    scale: Text
    tasks: list[Text] = Field(min_length=1)
    betas: list[BetaKey] = Field(min_length=1, max_length=1000)
    q_global: list[AboveChance]
    q_others: OrWord[list[AboveChance]]
    q_regional: list[AboveChance]

    @property
    def others(self) -> list[float] | None:
        """The scores outside the region; None where no item is there."""
        if isinstance(self.q_others, str):
            return self.q_global if self.q_others == "q_global" else None
        return self.q_others

    @model_validator(mode="after")
    def _a_score_for_each(self) -> SeedSides:
        for scores in (self.q_global, self.others, self.q_regional):
            if scores is not None and len(scores) != len(self.betas):
                raise ValueError(f"a side has {len(scores)} scores for {len(self.betas)} betas")
        return self


class SeedRun(FrozenModel):
    """One other seed; `models` are digests by beta, `predictions` the sha256 of its answers."""

    seed: int
    models: dict[BetaKey, Sha256] | Unknown
    predictions: Sha256 | Unknown
    sides: dict[Split, SeedSides] = Field(min_length=1)
