"""What has to be known beside the answers to make scores of them: the header of a results folder."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.values import (
    Block,
    FilePath,
    LanguageTag,
    PointKey,
    PolicyName,
    RegionId,
    RepoId,
    Sha256,
    Text,
    Unknown,
)
from ggez_hub.evaluation.origin import Origin
from ggez_hub.evaluation.outcomes import QUESTIONS, Average
from ggez_hub.parity.betas import betas_of, read_key

PREDICTIONS = "predictions.parquet"


class TaskRecord(Block):
    """What has to be known of a task to make parity of its answers.

    `average` is what its score is the mean over. `gallery` is how many pictures a search was among,
    and `published` how many it is among where figures of others come from.
    """

    metric: str
    judge: str = "none"
    side: Literal["global", "others", "regional"]
    regions: list[RegionId] = Field(default_factory=list)
    language: LanguageTag | Unknown = "unknown"
    dataset: RepoId | Unknown = "unknown"
    revision: str = "unknown"
    digests: dict[str, Sha256] = Field(default_factory=dict)
    average: Average = QUESTIONS
    gallery: int | None = None
    published: int | None = None

    @property
    def scale(self) -> str:
        """What may be averaged together: one metric, of one judge."""
        return self.metric if self.judge == "none" else f"{self.metric} by {self.judge}"


class AdapterRecord(Block):
    """An adapter that was measured: what it was called, its region, and the files that decide Delta."""

    name: Text
    region: RegionId | Unknown = "unknown"
    files: dict[FilePath, Sha256] = Field(min_length=1)


class Header(Block):
    """What decides the figures of a results folder, beside the predictions.

    `adapters` stand in the order of a point's betas.

    `data` are the data sets that the adapter was trained on, as its card names them. `digests` of a
    task are by split. `origin` decides nothing: it says where the answers may be had again.
    """

    schema_version: Literal[1] = 1
    region: RegionId
    alpha: AlphaRecord
    policy: PolicyName = "parity"
    tasks: dict[str, TaskRecord] = Field(min_length=1)
    data: list[str] | Unknown = "unknown"
    measured_by: Literal["self", "registry"] = "self"
    evaluator: str = "unknown"
    adapters: list[AdapterRecord] = Field(default_factory=list)
    models: dict[PointKey, Sha256] = Field(default_factory=dict)
    origin: Origin | None = None
    predictions: FilePath = PREDICTIONS
    sha256: Sha256

    @model_validator(mode="after")
    def _a_beta_for_each(self) -> Header:
        for key in self.models:
            # What was measured before adapters were recorded, or without one, has none.
            if len(betas_of(read_key(key))) != (len(self.adapters) or 1):
                raise ValueError(f"{key} are not the betas of {len(self.adapters)} adapters")
        return self
