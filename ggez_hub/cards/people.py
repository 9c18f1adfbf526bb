"""What people said of a model, as a row of its card: a side of its own, never averaged with a metric."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from ggez_hub.cards.measurements import Figure
from ggez_hub.cards.values import LanguageTag, PointKey, RegionId, Sha256, Text
from ggez_hub.frozen_model import FrozenModel


class PeopleRow(FrozenModel):
    """The scores of one model by one measure of a study.

    Figures are in points from 0 (`worst`) to 100 (`best`), with intervals over raters and items; None
    where there are no judgements. `q_regional` is of raters from the region, `q_global` of those from the rest
    of the world, `grp` of both with `alpha`. Where `compared`, the digest of the set of models, is given,
    values are ranks or preferences, which hold beside those models only: there are differences alone.

    study, ratings  the sha256s of the pinned study and of its ratings.parquet
    model, base, unmerged   what was judged, and what it is compared with, as in `curve`
    agreement       Krippendorff's alpha by the raters' language
    needed          judgements that show the difference to the base, where it is not shown
    without         raters who were left out
    """

    judge: Literal["people", "simulated"]
    measured_by: Literal["self", "registry"]
    study: Sha256
    ratings: Sha256
    design: Text
    measure: Text
    worst: Annotated[float, Field(ge=-1000, le=1000)]
    best: Annotated[float, Field(ge=-1000, le=1000)]
    compared: Sha256 | None = None
    region: RegionId
    alpha: float = Field(ge=0, le=1)
    beta: PointKey | None = None
    model: Sha256
    base: Sha256 | None = None
    unmerged: Sha256 | None = None
    raters: int = Field(gt=0)
    items: int = Field(gt=0)
    judgements: int = Field(gt=0)
    agreement: dict[LanguageTag, Figure] = Field({})
    q_global: Figure | None = None
    q_regional: Figure | None = None
    grp: Figure | None = None
    over_base: Figure | None = None
    over_unmerged: Figure | None = None
    needed: int | None = None
    without: Annotated[list[Text], Field(max_length=1000)] = Field([])

    @model_validator(mode="after")
    def _stands_alone(self) -> PeopleRow:
        if self.compared is not None and (self.q_global or self.q_regional or self.grp):
            raise ValueError("ranks and preferences have differences alone, not scores")
        return self
