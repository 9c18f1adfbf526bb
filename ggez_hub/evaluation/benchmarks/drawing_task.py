"""Drawing tasks, as YAML with `kind: drawing`: prompts, how they are drawn, and who judges."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from ggez_hub.cards.values import FilePath, LanguageTag, RegionId, RepoId
from ggez_hub.digests import digest_json
from ggez_hub.evaluation.benchmarks.task import (
    BadTask,
    Column,
    Dataset,
    SplitName,
    TaskId,
    entries,
    parse,
)
from ggez_hub.frozen_model import FrozenModel

# A part of every digest: raise it when the way from a drawing to a score changes.
RULES_VERSION = 1
METRIC = "drawing_top1"

Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


class References(FrozenModel):
    """The pictures that a drawing may resemble: those of `files` whose ids stand in `candidates`.

    `candidates` is a file of the prompts' data set; a candidate is the mean of all its pictures.
    """

    dataset: Dataset
    files: list[FilePath] = Field(min_length=1)
    id: Column
    image: Column
    candidates: FilePath


class JudgeSpec(FrozenModel):
    """An open_clip model whose image tower (of timm) sees drawings, and what it compares them with.

    name  what scores are labelled with: another judge is another scale
    """

    name: Text
    model: RepoId
    references: References


class DrawingSettings(FrozenModel):
    """How a picture is drawn: `seeds` of each prompt (0, 1, ...), denoising steps, guidance."""

    seeds: int = Field(ge=1)
    steps: int = Field(ge=1)
    guidance: float = Field(ge=0)


class PromptColumns(FrozenModel):
    """The columns of the prompts' data set."""

    id: Column
    prompt: Column


class DrawingTask(FrozenModel):
    """The prompts of one side; every prompt is drawn once for each seed.

    A drawing is right if the judge's nearest candidate is what the prompt names.
    """

    kind: Literal["drawing"]
    id: TaskId
    title: Text
    dataset: Dataset
    splits: dict[SplitName, FilePath] = Field(min_length=1)
    columns: PromptColumns
    drawing: DrawingSettings
    judge: JudgeSpec
    side: Literal["global", "regional"]
    regions: list[RegionId]
    language: LanguageTag

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.side == "regional") != bool(self.regions):
            raise ValueError(
                "regions must name at least one region where side is regional, and none where it is global"
            )
        return self

    @property
    def digest(self) -> str:
        """The sha256 of everything in the task that decides a score: all but `id` and `title`."""
        decisive = self.model_dump(mode="json", exclude={"kind", "id", "title"})
        return digest_json({"rules": RULES_VERSION, "drawing": decisive})

    def digest_on(self, *data: str) -> str:
        """The same together with the sha256s of the prompts, the candidates and the references."""
        return digest_json({"task": self.digest, "data": list(data)})


def load_drawing_tasks(folder: Path) -> tuple[DrawingTask, ...]:
    """The drawing tasks of every YAML file directly in `folder`, by id; raises BadTask."""
    found = [task for path in sorted(folder.glob("*.yaml")) for task in read_drawing_tasks(path)]
    if len({task.id for task in found}) != len(found):
        raise BadTask(f"{folder}: two drawing tasks have the same id", "Give each its own.")
    return tuple(sorted(found, key=lambda task: task.id))


def read_drawing_tasks(path: Path) -> tuple[DrawingTask, ...]:
    """The drawing tasks of one file, in its order; none if it is of another kind; raises BadTask."""
    return tuple(parse(DrawingTask, where, entry) for where, entry in entries(path, "drawing"))
