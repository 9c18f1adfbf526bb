"""The questions to a family's models for its cards and in the demo: all of its tasks, or a part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ggez_hub.cards import AlphaRecord
from ggez_hub.cards.curve import SPLITS, MeasuredCurve
from ggez_hub.demo.world import EMBEDDING, VLM, DemoFamily, FindFolder
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes, TaskRecord
from ggez_hub.evaluation.answers.scores import Sides
from ggez_hub.evaluation.benchmarks.drawings import Judges, Places, prepare_drawings
from ggez_hub.evaluation.benchmarks.preparation import PreparedTask, prepare_tasks, tasks_for
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.task import DrawingTask, SplitName, Task, load_tasks
from ggez_hub.evaluation.models import grid_on
from ggez_hub.evaluation.models.backend import EvaluationBackend, find_backend
from ggez_hub.evaluation.models.model_under_test import StoredModel
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import Header
from ggez_hub.evaluation.results.measured_curve import curve_of
from ggez_hub.evaluation.sweep.run import Progress, measure
from ggez_hub.parity.card_rows import decisive
from ggez_hub.recipe_file import recipes_folder
from ggez_hub.regions import Region

# A part of a task is every fourth question.
STRIDE = 4
TENTHS: tuple[float, ...] = tuple(step / 10 for step in range(13))
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class DemoAnswers:
    """The outcomes, with their tasks and models.

    titles  of the tasks, by id
    models  beta key -> what identifies the model
    """

    titles: Mapping[str, str]
    outcomes: Mapping[Cell, Outcomes]
    records: Mapping[str, TaskRecord]
    models: Mapping[str, str]

    def measured(
        self, evaluator: str, predictions: str, region: str, alpha: AlphaRecord
    ) -> MeasuredCurve:
        """A card's curve, as the registry measures it, with what its errors share."""
        header = Header(
            region=region,
            alpha=alpha,
            tasks=dict(self.records),
            models=dict(self.models),
            measured_by="registry",
            evaluator=evaluator,
            sha256=predictions,
        )
        return curve_of(Evidence(Path(), header, self.outcomes))

    @property
    def scale(self) -> str:
        """The scale of parity: the one with the lowest chance."""
        return decisive(
            {
                self.records[cell.task].scale: float(outcomes.chance.mean())
                for cell, outcomes in self.outcomes.items()
            }
        )

    def sides(self, beta: float, split: SplitName = "test") -> Sides:
        """The outcomes of both sides at one beta."""

        def of(side: str) -> tuple[Outcomes, ...]:
            return tuple(
                self.outcomes[Cell(beta, name, split)]
                for name, record in self.records.items()
                if record.side == side and record.scale == self.scale
            )

        return Sides(of("global"), of("regional"))


Prepare: TypeAlias = Callable[
    [FindFolder, Region, Sequence[SplitName]], tuple[Mapping[str, str], tuple[PreparedTask, ...]]
]
"""Where data are, the region, the splits -> the titles of the tasks by id, and the questions."""


@dataclass(frozen=True)
class FamilyQuestions:
    """How a family's models are asked.

    betas    the grid of its cards
    prepare  the questions
    backend  another one than the family's own
    """

    betas: tuple[float, ...]
    prepare: Prepare
    backend: EvaluationBackend | None = None

    def ask(
        self,
        model: StoredModel,
        find: FindFolder,
        region: Region,
        betas: Sequence[float],
        splits: Sequence[SplitName] = SPLITS,
        *,
        complete: bool = True,
        progress: Progress | None = None,
    ) -> DemoAnswers:
        """Ask the model at every beta: everything, or a part of it that takes seconds."""
        titles, prepared = self.prepare(find, region, splits)
        if not complete:
            prepared = tuple(
                replace(task, asked={split: _part(asked) for split, asked in task.asked.items()})
                for task in prepared
            )
        with tempfile.TemporaryDirectory() as scratch:
            backend = self.backend or find_backend(model.family, Path(scratch))
            models = grid_on(model, betas, backend)
            found = measure(models, prepared, progress=progress)
        return DemoAnswers(titles, found.outcomes, found.records(), found.models)


def questions_of(part: DemoFamily) -> FamilyQuestions:
    """How the models of a family of the demo world are asked."""
    return QUESTIONS[part.family]


def tasks_of(part: DemoFamily, region: Region) -> tuple[Task, ...]:
    """The tasks on pictures for a region."""
    return tasks_for(load_tasks(recipes_folder() / part.tasks, Task), region)


def drawing_tasks() -> tuple[DrawingTask, ...]:
    """The drawing tasks of the demo."""
    return load_tasks(recipes_folder() / "demo" / "diffusion", DrawingTask)


def _on_pictures(part: DemoFamily, *, details: bool) -> Prepare:
    """Questions on pictures; with `details` each answer has its picture, prompt and likelihoods."""

    def prepare(
        find: FindFolder, region: Region, splits: Sequence[SplitName]
    ) -> tuple[Mapping[str, str], tuple[PreparedTask, ...]]:
        tasks = tasks_of(part, region)
        data = find(tasks[0].dataset.repo)
        titles = {task.id: task.title for task in tasks}
        return titles, prepare_tasks(tasks, data, splits, details=details)

    return prepare


def _drawings(
    find: FindFolder, region: Region, splits: Sequence[SplitName]
) -> tuple[Mapping[str, str], tuple[PreparedTask, ...]]:
    """Every prompt with its seeds; all tasks have the same judge, and there is one region."""
    tasks, judges = drawing_tasks(), Judges()
    judge = tasks[0].judge
    places = Places(
        prompts=find(tasks[0].dataset.repo),
        judge=find(judge.model),
        references=find(judge.references.dataset.repo),
    )
    return (
        {task.id: task.title for task in tasks},
        tuple(prepare_drawings(task, places, judges, splits) for task in tasks),
    )


def _part(asked: QuestionSet) -> QuestionSet:
    """Every STRIDE-th question or drawing."""
    return asked.take(range(0, len(asked.items), STRIDE))


QUESTIONS = {
    "embedding": FamilyQuestions(TENTHS, _on_pictures(EMBEDDING, details=False)),
    "vlm": FamilyQuestions(QUARTERS, _on_pictures(VLM, details=True)),
    "diffusion": FamilyQuestions(QUARTERS, _drawings),
}
