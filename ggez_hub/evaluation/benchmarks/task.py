"""Tasks: what is asked of a model, written as YAML.

A file holds one task (`kind: task`) or many that share keys (`kind: tasks`, with `defaults` and a
list `tasks`, whose own keys win). Files of other kinds are passed over.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias, TypeVar

from pydantic import (
    BaseModel,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from ggez_hub.cards.values import FilePath, LanguageTag, RegionId, RepoId, Revision
from ggez_hub.digests import digest_json
from ggez_hub.errors import GgezError
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.safe_yaml import load_mapping
from ggez_hub.validation_errors import listed
from ggez_hub.yaml_text import read_text

# A part of every digest: raise it when the way to a score changes (ties, distractors, floors).
RULES_VERSION = 1

Metric: TypeAlias = Literal["text_to_image_r1", "image_to_text_r1", "choice_4"]
SplitName: TypeAlias = Literal["validation", "test"]
TaskId: TypeAlias = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
Column: TypeAlias = Annotated[str, StringConstraints(min_length=1)]


MAX_BYTES = 8_000_000

P = TypeVar("P", bound=BaseModel)


class BadTask(GgezError):
    """A task file cannot be read or does not follow the schema; the message names every key."""


class Dataset(FrozenModel):
    """A dataset repository of the Hub."""

    repo: RepoId
    revision: Revision


class Columns(FrozenModel):
    """The columns of the dataset that the task reads; `group` is where wrong answers come from."""

    id: Column
    image: Column
    text: Column
    group: Column | None = None


class Task(FrozenModel):
    """One metric on one text column of a dataset.

    `regions` are those whose items these are: every item counts for each of them. `language` is
    BCP 47, `regions` are ISO 3166-1 or group ids; the two are never mixed. A task with a `question`
    is one for models that write: it is said to them with the picture, and the likelihood of each
    option as the reply is its score.
    """

    kind: Literal["task"]
    id: TaskId
    title: Annotated[str, StringConstraints(min_length=1)]
    dataset: Dataset
    splits: dict[SplitName, FilePath] = Field(min_length=1)
    columns: Columns
    metric: Metric
    side: Literal["global", "regional"]
    regions: list[RegionId]
    language: LanguageTag
    seed: int = Field(ge=0)
    question: Annotated[str, StringConstraints(min_length=1)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.side == "regional") != bool(self.regions):
            raise ValueError(
                "regions must name at least one region where side is regional, and none where it is global"
            )
        if self.metric == "choice_4" and self.columns.group is None:
            raise ValueError("columns.group must name a column: choice_4 draws wrong answers there")
        if self.metric != "choice_4" and self.question is not None:
            raise ValueError("question is for choice_4: models that write choose among options")
        return self

    @property
    def digest(self) -> str:
        """The sha256 of everything in the task that decides a score: all but `id` and `title`."""
        decisive = self.model_dump(mode="json", exclude={"kind", "id", "title"})
        if self.question is None:
            # As it was before there were such tasks.
            del decisive["question"]
        return digest_json({"rules": RULES_VERSION, "task": decisive})

    def digest_on(self, data_sha256: str) -> str:
        """The same together with the bytes of a split, which a revision `main` does not fix."""
        return digest_json({"task": self.digest, "data": data_sha256})


def load_tasks(folder: Path) -> tuple[Task, ...]:
    """The tasks of every YAML file directly in `folder`, by id; raises BadTask."""
    tasks: dict[str, Task] = {}
    places: dict[str, Path] = {}
    for path in sorted(folder.glob("*.yaml")):
        for task in read_tasks(path):
            if task.id in tasks:
                raise BadTask(
                    f"{path}: the id {task.id!r} stands in {places[task.id]} already",
                    "Give one of the two another id.",
                )
            tasks[task.id], places[task.id] = task, path
    if not tasks:
        raise BadTask(f"{folder} holds no tasks", "A task is a YAML file with `kind: task`.")
    return tuple(tasks[name] for name in sorted(tasks))


def read_tasks(path: Path) -> tuple[Task, ...]:
    """The tasks of one file, in its order; none if it is of another kind; raises BadTask."""
    return tuple(parse(Task, where, entry) for where, entry in entries(path, "task"))


def entries(path: Path, kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """What a file holds of a kind, each with its place: one, or many that share keys.

    Raises BadTask for what is no YAML of this shape; a file of another kind holds nothing.
    """
    try:
        content = load_mapping(read_text(path, MAX_BYTES))
    except (OSError, ValueError) as error:
        said = str(error).replace("the front matter", "the YAML")
        raise BadTask(
            f"{path} cannot be read: {said}",
            f"It has to be YAML in UTF-8 that begins with `kind: {kind}`.",
        ) from error
    if content.get("kind") == kind:
        yield str(path), content
    if content.get("kind") != f"{kind}s":
        return
    defaults, tasks = content.get("defaults", {}), content.get("tasks")
    if unknown := sorted(map(str, set(content) - {"kind", "defaults", "tasks"})):
        raise BadTask(
            f"{path}: {unknown[0]} is no key of `kind: {kind}s`", "Keys: defaults, tasks."
        )
    if not isinstance(defaults, dict):
        raise BadTask(f"{path}: defaults is no mapping", "It holds keys that the tasks share.")
    if not isinstance(tasks, list) or not all(isinstance(entry, dict) for entry in tasks):
        raise BadTask(f"{path}: tasks is no list of mappings", "Begin each task with `- id:`.")
    for number, entry in enumerate(tasks):
        yield f"{path}: tasks[{number}]", {"kind": kind, **defaults, **entry}


def parse(model: type[P], where: str, entry: dict[str, Any]) -> P:
    """An entry as what it should be; raises BadTask, which names every key that is off."""
    try:
        return model.model_validate(entry)
    except ValidationError as error:
        raise BadTask(f"{where}: {error.error_count()} keys are off\n{listed(error)}") from error
