"""Tasks: what is asked of a model, written as YAML.

A file holds one task (`kind: task`) or many that share keys (`kind: tasks`, with `defaults` and a
list `tasks`, whose own keys win). Files of drawing tasks (`kind: drawing`) and of benchmarks have the
same shape.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar, get_args

from pydantic import BaseModel, Field, StringConstraints, ValidationError, model_validator

from ggez_hub.cards.values import FilePath, LanguageTag, RegionId, RepoId, Revision
from ggez_hub.digests import digest_json
from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.quantities import counted
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.text_files import read_text
from ggez_hub.validation_errors import listed, written_as

# A part of every digest: raise it when the way to a score changes (ties, distractors, floors).
RULES_VERSION = 1
# The same for drawings that are recognised.
DRAWING_RULES_VERSION = 1
DRAWING_METRIC = "drawing_top1"

Metric: TypeAlias = Literal["text_to_image_r1", "image_to_text_r1", "choice_4"]
SplitName: TypeAlias = Literal["validation", "test"]
Text: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
TaskId: TypeAlias = Annotated[
    str,
    written_as(r"^[a-z0-9]+(-[a-z0-9]+)*$", "a name: lower-case letters and digits, joined by -"),
]

MAX_BYTES = 8_000_000


class Dataset(FrozenModel):
    """A dataset repository of the Hub."""

    repo: RepoId
    revision: Revision


class TaskBase(FrozenModel):
    """What tasks of every kind have.

    `regions` are those whose items these are: every item counts for each of them. Tasks of the side
    `safety` are beside parity: no GRP has them, and they have a gate of their own. `language` is
    BCP 47, `regions` are ISO 3166-1 or group ids; the two are never mixed.
    """

    kind: str
    id: TaskId
    title: Text
    dataset: Dataset
    side: Literal["global", "regional", "safety"]
    regions: list[RegionId]
    language: LanguageTag

    @model_validator(mode="after")
    def _regions_of_the_side(self) -> Self:
        if (self.side == "regional") != bool(self.regions):
            raise ValueError(
                "regions must name at least one region where side is regional, and none elsewhere"
            )
        if self.side == "safety" and self.kind != "benchmark":
            raise ValueError("side safety is for benchmarks alone")
        return self

    def decisive(self) -> dict[str, Any]:
        """Everything that decides a score: all but `kind`, `id` and `title`."""
        return self.model_dump(mode="json", exclude={"kind", "id", "title"})


T = TypeVar("T", bound=TaskBase)
P = TypeVar("P", bound=BaseModel)


class Columns(FrozenModel):
    """The columns of the dataset that the task reads; `group` is where wrong answers come from."""

    id: Text
    image: Text
    text: Text
    group: Text | None = None


class Task(TaskBase):
    """One metric on one text column of a dataset.

    A task with a `question` is one for models that write: it is put to them with the picture, and
    the likelihood of each option as the reply is its score.
    """

    kind: Literal["task"]
    splits: dict[SplitName, FilePath] = Field(min_length=1)
    columns: Columns
    metric: Metric
    seed: int = Field(ge=0)
    question: Text | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.metric == "choice_4" and self.columns.group is None:
            raise ValueError("columns.group must name a column: choice_4 draws wrong answers there")
        if self.metric != "choice_4" and self.question is not None:
            raise ValueError("question is for choice_4: models that write choose among options")
        return self

    @property
    def digest(self) -> str:
        """The sha256 of everything in the task that decides a score."""
        decisive = self.decisive()
        if self.question is None:
            # As it was before there were such tasks.
            del decisive["question"]
        return digest_json({"rules": RULES_VERSION, "task": decisive})

    def digest_on(self, data_sha256: str) -> str:
        """The same together with the bytes of a split, which a revision `main` does not fix."""
        return digest_json({"task": self.digest, "data": data_sha256})


class References(FrozenModel):
    """The pictures that a drawing may resemble: those of `files` whose ids are in `candidates`.

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
        task = digest_json({"rules": DRAWING_RULES_VERSION, "drawing": self.decisive()})
        return digest_json({"task": task, "data": list(data)})


def load_tasks(folder: Path, *kinds: type[T]) -> tuple[T, ...]:
    """The tasks of these kinds in every YAML file directly in `folder`, by id; raises GgezError."""
    tasks: dict[str, T] = {}
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        for task in read_tasks(path, *kinds):
            if task.id in tasks:
                raise GgezError(
                    f"{path}: the id {task.id!r} is already in {places[task.id]}",
                    "Give one of the two another id.",
                )
            tasks[task.id], places[task.id] = task, path
    if not tasks:
        named = " or ".join(f"`kind: {_kind(model)}`" for model in kinds)
        raise GgezError(f"{folder} holds no tasks", f"A task is a YAML file with {named}.")
    return tuple(tasks[name] for name in sorted(tasks))


def read_tasks(path: Path, *kinds: type[T]) -> tuple[T, ...]:
    """The tasks of these kinds in one file, in its order; raises GgezError."""
    models = {_kind(model): model for model in kinds}
    return tuple(parse(models[kind], where, e) for kind, where, e in read_entries(path, models))


def _kind(model: type[TaskBase]) -> str:
    return str(get_args(model.model_fields["kind"].annotation)[0])


class _SharedKeys(FrozenModel):
    """Tasks with the keys that they share."""

    kind: str
    defaults: dict[str, Any] = Field(default_factory=dict)
    tasks: list[dict[str, Any]]


def read_entries(path: Path, kinds: Collection[str]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    """The kind, the place and the keys of each entry of a file: one, or many that share keys."""
    try:
        content = load_mapping(read_text(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        problem = str(error).replace("the front matter", "the YAML")
        raise GgezError(
            f"{path} cannot be read: {problem}",
            f"It has to be YAML in UTF-8 that begins with `kind: {next(iter(kinds))}`.",
        ) from error
    kind = str(content.get("kind"))
    if kind in kinds:
        yield kind, str(path), content
    if not kind.endswith("s") or kind[:-1] not in kinds:
        return
    shared = parse(_SharedKeys, str(path), content)
    for number, entry in enumerate(shared.tasks):
        yield (
            kind[:-1],
            f"{path}: tasks[{number}]",
            {"kind": kind[:-1], **shared.defaults, **entry},
        )


def parse(model: type[P], where: str, entry: dict[str, Any]) -> P:
    """An entry as a value of `model`; raises GgezError, which names every wrong key."""
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        raise GgezError(
            f"{where}: {counted(error.error_count(), 'key is', 'keys are')} wrong\n{listed(error)}"
        ) from error
