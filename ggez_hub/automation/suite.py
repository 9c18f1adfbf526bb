"""By what the registry measures a family: its tasks, and the data that they need from a hub."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from pydantic import Field

from ggez_hub.cards import AdapterCard
from ggez_hub.cards.measurements import ClosedRule
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.drawing_task import DrawingTask
from ggez_hub.evaluation.benchmarks.preparation import (
    Judges,
    Places,
    PreparedTask,
    is_asked,
    prepare_drawings,
    prepare_tasks,
    require_both_sides,
)
from ggez_hub.evaluation.benchmarks.task import Task, load_tasks
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.hub import Hub, HubFile, RepoAtCommit
from ggez_hub.recipe_file import read_recipe, recipes_folder
from ggez_hub.regions import find_region
from ggez_hub.registry.file_checks import model_files

RECIPE = "evaluation.yaml"
AnyTask: TypeAlias = Task | DrawingTask


class NoTasks(GgezError):
    """The registry has no tasks by which it could measure an adapter."""


class Suite(FrozenModel, strict=False):
    """What the adapters of a family are asked: a folder of tasks below recipes/, and the betas."""

    tasks: str
    betas: list[float] = Field(min_length=2)


class EvaluationRecipe(FrozenModel, strict=False):
    """recipes/evaluation.yaml: a suite for each family that can be measured.

    closed  the part of the test side whose answers are not published; none if left out
    """

    kind: str
    suites: Mapping[str, Suite]
    closed: ClosedRule | None = None


def suite_of(card: AdapterCard) -> tuple[Suite, tuple[AnyTask, ...]]:
    """The betas and tasks by which the registry measures `card`.

    Raises NoTasks, and UsageProblem where a side has no task.
    """
    recipe = _recipe()
    suite = recipe.suites.get(card.family)
    if suite is None:
        raise NoTasks(
            f"the registry has no tasks for the family {card.family}",
            f"Add a suite to recipes/{RECIPE}; until then the adapter stays {card.level}.",
        )
    folder, region = recipes_folder() / suite.tasks, find_region(card.region)
    found: tuple[AnyTask, ...] = load_tasks(folder, Task, DrawingTask)
    tasks = tuple(task for task in found if is_asked(task, region))
    require_both_sides((task.side for task in tasks), region)
    return suite, tasks


def closed_rule() -> ClosedRule | None:
    """Which pictures of the test side the registry closes; None where it publishes all answers."""
    return _recipe().closed


def _recipe() -> EvaluationRecipe:
    return read_recipe(recipes_folder() / RECIPE, "evaluation", EvaluationRecipe)


@dataclass(frozen=True)
class Listed:
    """A repository at a commit with the files of it that are needed."""

    at: RepoAtCommit
    files: tuple[HubFile, ...]
    repo_type: str

    def fetch(self, hub: Hub) -> Path:
        """The folder with the files; raises what the hub raises."""
        return hub.fetch(self.at.repo, self.at.revision, self.files, self.repo_type)


@dataclass(frozen=True)
class SuiteData:
    """The data of tasks, by the repository that a task names: listed first, fetched when prepared."""

    tasks: tuple[AnyTask, ...]
    hub: Hub
    listed: Mapping[str, Listed]

    @classmethod
    def of(cls, tasks: Sequence[AnyTask], hub: Hub) -> SuiteData:
        """What tasks need, as a hub lists it now; raises what the hub raises."""
        paths: dict[tuple[str, str], set[str]] = {}
        for task in tasks:
            for repo, revision, path in _data_of(task):
                paths.setdefault((repo, revision), set()).add(path)
        listed = {}
        for (repo, revision), wanted in paths.items():
            at = hub.at_commit(repo, revision, "dataset")
            listed[repo] = Listed(at, tuple(f for f in at.files if f.path in wanted), "dataset")
        for model in {task.judge.model for task in tasks if isinstance(task, DrawingTask)}:
            at = hub.at_commit(model, "main")
            files = tuple(file.as_hub_file() for file in model_files(at))
            listed[f"models/{model}"] = Listed(at, files, "model")
        return cls(tuple(tasks), hub, listed)

    @property
    def nbytes(self) -> int:
        """Bytes of all files."""
        return sum(file.size for listed in self.listed.values() for file in listed.files)

    @property
    def asked_about(self) -> frozenset[str]:
        """The repositories that hold the items, without what only judges need."""
        return frozenset(task.dataset.repo for task in self.tasks)

    def prepare(self) -> tuple[PreparedTask, ...]:
        """The tasks with their questions; raises BadItems, BadTask, and what fetching raises."""
        judges = Judges()
        prepared: list[PreparedTask] = []
        questions = [task for task in self.tasks if isinstance(task, Task)]
        if questions:
            data = self.listed[questions[0].dataset.repo]
            prepared += prepare_tasks(questions, data.fetch(self.hub), revision=data.at.revision)
        for task in self.tasks:
            if isinstance(task, DrawingTask):
                prompts = self.listed[task.dataset.repo]
                places = Places(
                    prompts.fetch(self.hub),
                    self.listed[f"models/{task.judge.model}"].fetch(self.hub),
                    self.listed[task.judge.references.dataset.repo].fetch(self.hub),
                )
                prepared.append(
                    prepare_drawings(task, places, judges, revision=prompts.at.revision)
                )
        return tuple(prepared)


def _data_of(task: AnyTask) -> Iterator[tuple[str, str, str]]:
    """The files of data sets that a task needs: repository, revision, path."""
    for path in task.splits.values():
        yield task.dataset.repo, task.dataset.revision, path
    if isinstance(task, DrawingTask):
        named = task.judge.references
        yield task.dataset.repo, task.dataset.revision, named.candidates
        for path in named.files:
            yield named.dataset.repo, named.dataset.revision, path
