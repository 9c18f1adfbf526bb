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
    RegionId,
    RepoId,
    Sha256,
    Text,
    Unknown,
)
from ggez_hub.evaluation.betas import betas_of, read_key
from ggez_hub.evaluation.origin import Origin
from ggez_hub.merging.betas_by_part import MOST_PARTS, BetasByPart, Part

PREDICTIONS = "predictions.parquet"


class TaskRecord(Block):
    """What has to be known of a task to make parity of its answers."""

    metric: str
    judge: str = "none"
    side: Literal["global", "others", "regional"]
    regions: list[RegionId] = Field(default_factory=list)
    language: LanguageTag | Unknown = "unknown"
    dataset: RepoId | Unknown = "unknown"
    revision: str = "unknown"
    digests: dict[str, Sha256] = Field(default_factory=dict)

    @property
    def scale(self) -> str:
        """What may be averaged together: one metric, of one judge."""
        return self.metric if self.judge == "none" else f"{self.metric} by {self.judge}"


class AdapterRecord(Block):
    """An adapter that was measured: what it was called, its region, and the files that decide Delta."""

    name: Text
    region: RegionId | Unknown = "unknown"
    files: dict[FilePath, Sha256] = Field(min_length=1)


class SweptParts(Block):
    """The betas by part that a grid multiplies: the name and sha256 of their file, and what it says."""

    name: Text
    sha256: Sha256
    parts: list[Part] = Field(min_length=1, max_length=MOST_PARTS)

    @property
    def rule(self) -> BetasByPart:
        """The same as the merge takes it."""
        return BetasByPart(parts=tuple(self.parts))


class Header(Block):
    """What decides the figures of a results folder, beside the predictions.

    `adapters` stand in the order of a point's betas, which `parts`, if there are any, multiply.

    `data` are the data sets that the adapter was trained on, as its card names them. `digests` of a
    task are by split. `origin` decides nothing: it says where the answers may be had again.
    """

    schema_version: Literal[1] = 1
    region: RegionId
    alpha: AlphaRecord
    tasks: dict[str, TaskRecord] = Field(min_length=1)
    data: list[str] | Unknown = "unknown"
    measured_by: Literal["self", "registry"] = "self"
    evaluator: str = "unknown"
    adapters: list[AdapterRecord] = Field(default_factory=list)
    parts: SweptParts | None = None
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
