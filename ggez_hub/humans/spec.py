"""STUDY.yaml: what a study is made of. Files that it names are in its own folder or below.

Folders of models, results and data are the reader's own, and may be anywhere.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from ggez_hub.cards.values import FilePath, LanguageTag, RegionId, Text
from ggez_hub.evaluation.benchmarks.benchmark import Drawing
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.humans.design import Texts
from ggez_hub.humans.study import (
    MAX_ITEMS,
    MAX_MODELS,
    Consent,
    Identifier,
    Prompt,
    Role,
    Sha256,
    Side,
)


class ModelSpec(FrozenModel):
    """A model, and where its outputs come from.

    folder    it is asked here, at `beta` of `adapter` if there is one; without one, `beta` only names
              what a merged folder was made with
    results   its answers are those of a results folder at `beta`
    neither   its outputs are in the file of the items; `digest` is the sha256 of its weights, if known
    """

    name: Identifier
    role: Role
    folder: Text | None = None
    adapter: Text | None = None
    results: Text | None = None
    beta: Annotated[float, Field(ge=0)] | None = None
    digest: Sha256 | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ModelSpec:
        if self.folder and self.results:
            raise ValueError("folder and results are two places for the same outputs: name one")
        if self.adapter and (not self.folder or self.beta is None):
            raise ValueError("an adapter needs the folder of its base, and beta")
        if self.results and self.beta is None:
            raise ValueError("results need beta: 0 is the base")
        if self.digest and (self.folder or self.results):
            raise ValueError("digest is for outputs that are in the file of the items")
        return self


class ItemsSpec(FrozenModel):
    """What the models are asked: the items of a file, of suites, or of a results folder's tasks.

    file      JSON lines, each an ItemRow
    suites    names of suites or folders of tasks; `data` and `pictures` as `eval` has them
    sample    how many items of each side are taken: a hash chooses, from all categories alike
    """

    file: FilePath | None = None
    suites: list[Text] = Field(default_factory=list)
    results: Text | None = None
    data: Text | None = None
    pictures: Text | None = None
    sample: Annotated[int, Field(ge=1, le=MAX_ITEMS)] | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ItemsSpec:
        if sum(map(bool, (self.file, self.suites, self.results))) != 1:
            raise ValueError("needs exactly one of file, suites and results")
        return self


class GivenOutput(FrozenModel):
    """An output that is there already: a text, or the path of a picture."""

    text: str | None = None
    picture: FilePath | None = None

    @model_validator(mode="after")
    def _one(self) -> GivenOutput:
        if (self.text is None) == (self.picture is None):
            raise ValueError("needs either text or picture")
        return self


class ItemRow(FrozenModel):
    """A line of an items file. With `gold` it is judged, and known: model -> what is right."""

    id: Annotated[str, Field(min_length=1, max_length=180)]
    side: Side
    category: Annotated[str, Field(max_length=200)] = ""
    language: LanguageTag
    prompt: Prompt
    translations: dict[LanguageTag, Prompt] = Field(default_factory=dict)
    picture: FilePath | None = None
    outputs: dict[Identifier, GivenOutput] = Field(default_factory=dict)
    gold: dict[Identifier, list[float]] | None = None


class StudySpec(FrozenModel):
    """A study before its models are asked; see ggez_hub.humans.study for what the keys mean.

    mismatched   how many gold items are made of outputs for other items; by default as many as raters
                 need, if the items have no gold and the design can do with such
    drawing      how pipelines draw the items of a file; without it they are answered in writing
    reply_tokens how long such an answer may be
    """

    kind: Literal["study"]
    name: Identifier
    title: Texts
    region: RegionId
    # The name of one of the package, or a YAML file.
    design: FilePath
    raters: dict[Side, list[LanguageTag]]
    raters_per_item: int = 3
    repeats: float = 0.1
    gold: float = 0.05
    mismatched: Annotated[int, Field(ge=0, le=1000)] | None = None
    items_per_rater: int = 50
    seed: int = 0
    instructions: Texts
    consent: Consent
    models: Annotated[list[ModelSpec], Field(min_length=1, max_length=MAX_MODELS)]
    items: ItemsSpec
    drawing: Drawing | None = None
    reply_tokens: Annotated[int, Field(ge=1, le=4096)] = 256

    @property
    def languages(self) -> frozenset[str]:
        return frozenset(tag for own in self.raters.values() for tag in own)

    def fields(self) -> dict[str, Any]:
        """The keys that a pinned study has as they are."""
        names = (
            "name", "title", "region", "raters", "raters_per_item", "repeats", "gold",
            "items_per_rater", "seed", "instructions", "consent",
        )  # fmt: skip
        return self.model_dump(mode="json", include={*names})
