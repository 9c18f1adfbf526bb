"""Drawing tasks, as YAML with `kind: drawing`: prompts, how they are drawn, and who judges."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from ggez_hub.cards.values import FilePath, RepoId
from ggez_hub.digests import digest_json
from ggez_hub.evaluation.benchmarks.task import Dataset, SplitName, TaskBase, Text
from ggez_hub.frozen_model import FrozenModel

# A part of every digest: raise it when the way from a drawing to a score changes.
RULES_VERSION = 1
METRIC = "drawing_top1"


class References(FrozenModel):
    """The pictures that a drawing may resemble: those of `files` whose ids stand in `candidates`.

    `candidates` is a file of the prompts' data set; a candidate is the mean of all its pictures.
    """

    dataset: Dataset
    files: list[FilePath] = Field(min_length=1)
    id: Text
    image: Text
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

    id: Text
    prompt: Text


class DrawingTask(TaskBase):
    """The prompts of one side; every prompt is drawn once for each seed.

    A drawing is right if the judge's nearest candidate is what the prompt names.
    """

    kind: Literal["drawing"]
    splits: dict[SplitName, FilePath] = Field(min_length=1)
    columns: PromptColumns
    drawing: DrawingSettings
    judge: JudgeSpec

    def digest_on(self, *data: str) -> str:
        """The sha256 of all that decides a score, with those of prompts, candidates and references."""
        task = digest_json({"rules": RULES_VERSION, "drawing": self.decisive()})
        return digest_json({"task": task, "data": list(data)})
