"""What has to be known beside the answers to make scores of them: the header of a results folder."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from ggez_hub.cards import AdapterCard, AlphaRecord
from ggez_hub.cards.measurements import ClosedPart
from ggez_hub.cards.values import (
    Adapts,
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
from ggez_hub.evaluation.answers.outcomes import QUESTIONS, Average
from ggez_hub.evaluation.results.origin import Origin
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.merging.betas_by_part import MOST_PARTS, BetasByPart, Part
from ggez_hub.parity.betas import betas_of, read_key

PREDICTIONS = "predictions.parquet"
# What may be measured beside the grid; the answers of each are in a file of its name.
BaselineName: TypeAlias = Literal["average", "joint"]
BASELINE_NAMES: tuple[BaselineName, ...] = ("average", "joint")


class TaskRecord(FrozenModel):
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


class AdapterRecord(FrozenModel):
    """An adapter that was measured: what it was called, and the files that decide Delta.

    `region`, `languages` and `adapts` are what its card says.
    """

    name: Text
    region: RegionId | Unknown = "unknown"
    languages: list[LanguageTag] | Unknown = "unknown"
    adapts: Annotated[list[Adapts], Field(min_length=1)] | Unknown = "unknown"
    files: dict[FilePath, Sha256] = Field(min_length=1)

    @classmethod
    def of(cls, name: str, files: dict[str, str], card: AdapterCard | None) -> AdapterRecord:
        """The record of an adapter with these files; a card may be missing."""
        if card is None:
            return cls(name=name, files=files)
        return cls(
            name=name,
            region=card.region,
            languages=card.languages,
            adapts=card.adapts,
            files=files,
        )


class BaselineRecord(FrozenModel):
    """A baseline that was measured: its answers, what identifies the model, and whose it is.

    average  the mean of the normalised embeddings of base and adapter
    joint    another adapter on the same base, at beta 1, which `adapter` names
    """

    predictions: FilePath
    sha256: Sha256
    model: Sha256 | Unknown = "unknown"
    adapter: AdapterRecord | None = None


class SweptParts(FrozenModel):
    """The betas by part that a grid multiplies: the name and sha256 of their file, and what it says."""

    name: Text
    sha256: Sha256
    parts: list[Part] = Field(min_length=1, max_length=MOST_PARTS)

    @property
    def rule(self) -> BetasByPart:
        """The same as the merge takes it."""
        return BetasByPart(parts=tuple(self.parts))


class Header(FrozenModel):
    """What decides the figures of a results folder, beside the predictions.

    `adapters` stand in the order of a point's betas, which `parts`, if there are any, multiply.

    `data` are the data sets that the adapter was trained on, as its card names them. `digests` of a
    task are by split. `origin` decides nothing: it says where the answers may be had again.
    `baselines` are those that were asked themselves; the switch follows from the predictions.
    `closed` is of the test answers that are in none of the files.
    """

    schema_version: Literal[1, 2] = 2
    region: RegionId
    alpha: AlphaRecord
    policy: PolicyName = "parity"
    tasks: dict[str, TaskRecord] = Field(min_length=1)
    data: list[str] | Unknown = "unknown"
    measured_by: Literal["self", "registry"] = "self"
    evaluator: str = "unknown"
    adapters: list[AdapterRecord] = Field(default_factory=list)
    parts: SweptParts | None = None
    models: dict[PointKey, Sha256] = Field(default_factory=dict)
    baselines: dict[BaselineName, BaselineRecord] = Field(default_factory=dict)
    origin: Origin | None = None
    closed: ClosedPart | None = None
    predictions: FilePath = PREDICTIONS
    sha256: Sha256

    @model_validator(mode="after")
    def _a_beta_for_each(self) -> Header:
        for key in self.models:
            # What was measured before adapters were recorded, or without one, has none.
            if len(betas_of(read_key(key))) != (len(self.adapters) or 1):
                raise ValueError(f"{key} are not the betas of {len(self.adapters)} adapters")
        return self
