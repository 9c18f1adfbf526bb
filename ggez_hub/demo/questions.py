"""What a family's models are asked for its cards and in the demo: all of its tasks, or a part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeAlias

from ggez_hub.cards import AlphaRecord, CurveRow
from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.demo.world import EMBEDDING, VLM, DemoFamily, FindFolder
from ggez_hub.evaluation.answers.outcomes import Cell, Outcomes, TaskRecord
from ggez_hub.evaluation.answers.scores import Sides
from ggez_hub.evaluation.benchmarks.drawing_task import DrawingTask
from ggez_hub.evaluation.benchmarks.preparation import (
    Judges,
    Places,
    PreparedTask,
    prepare_drawings,
    prepare_tasks,
    tasks_for,
)
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.task import SplitName, Task, load_tasks
from ggez_hub.evaluation.models import grid_on
from ggez_hub.evaluation.models.backend import EvaluationBackend, drawing_backend
from ggez_hub.evaluation.models.model_digest import StoredModel
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import Header
from ggez_hub.evaluation.results.measured_curve import NOBODY, curve_rows, parity_of
from ggez_hub.evaluation.sweep.grid import Progress, measure
from ggez_hub.families import get_family
from ggez_hub.parity.card_rows import decisive
from ggez_hub.recipe_file import recipes_folder
from ggez_hub.regions import Region

SPLITS: tuple[SplitName, ...] = ("validation", "test")
# Of a part of the tasks every so many questions are asked.
STRIDE = 4
TENTHS: tuple[float, ...] = tuple(step / 10 for step in range(13))
QUARTERS = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False)
class DemoAnswers:
    """What came out, and what has to be known of tasks and models.

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
            sha256=predictions if predictions != "unknown" else NOBODY,
        )
        evidence = Evidence(Path(), header, self.outcomes)
        rows = self.rows(evaluator, predictions)
        return MeasuredCurve(rows, parity_of(evidence, rows), region)

    def rows(self, evaluator: str, predictions: str) -> dict[str, dict[str, CurveRow]]:
        """The rows of a card's curve; see `curve_rows`."""
        return curve_rows(
            self.outcomes,
            self.records,
            self.models,
            measured_by="registry",
            evaluator=evaluator,
            predictions=predictions,
        )

    @property
    def scale(self) -> str:
        """What parity is computed in: of the scales, the one that is least guessable."""
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
"""Where data lie, the region, the splits -> the titles of the tasks by id, and what is asked."""


@dataclass(frozen=True)
class FamilyQuestions:
    """How a family's models are asked.

    betas    the grid of its cards
    prepare  what is asked
    way      the backend, given a folder for drawings; None for the family's own
    """

    betas: tuple[float, ...]
    prepare: Prepare
    way: Callable[[Path], EvaluationBackend | None] = lambda _: None

    def ask(
        self,
        model: StoredModel,
        lies: FindFolder,
        region: Region,
        betas: Sequence[float],
        splits: Sequence[SplitName] = SPLITS,
        *,
        whole: bool = True,
        progress: Progress | None = None,
    ) -> DemoAnswers:
        """Ask the model at every beta: everything, or a part of it that takes seconds."""
        titles, prepared = self.prepare(lies, region, splits)
        if not whole:
            prepared = tuple(_part(task) for task in prepared)
        with tempfile.TemporaryDirectory() as scratch:
            models = grid_on(model, betas, self.way(Path(scratch)))
            found = measure(models, prepared, progress=progress)
        return DemoAnswers(titles, found.outcomes, found.records(), found.models)


def by_tasks(part: DemoFamily, *, details: bool) -> Prepare:
    """What is asked about pictures.

    `details`: whether each answer records its picture, prompt and likelihoods.
    """

    def prepare(
        lies: FindFolder, region: Region, splits: Sequence[SplitName]
    ) -> tuple[Mapping[str, str], tuple[PreparedTask, ...]]:
        tasks = tasks_of(part, region)
        data = lies(tasks[0].dataset.repo)
        titles = {task.id: task.title for task in tasks}
        return titles, prepare_tasks(tasks, data, splits, details=details)

    return prepare


def tasks_of(part: DemoFamily, region: Region) -> tuple[Task, ...]:
    """What is asked about pictures for a region."""
    return tasks_for(load_tasks(recipes_folder() / part.tasks, Task), region)


def _part(task: PreparedTask) -> PreparedTask:
    return replace(task, asked={split: _every(asked) for split, asked in task.asked.items()})


def _every(asked: QuestionSet) -> QuestionSet:
    """Every STRIDE-th question or drawing."""
    return asked.take(range(0, len(asked.items), STRIDE))


def _prepare(
    lies: FindFolder, region: Region, splits: Sequence[SplitName]
) -> tuple[Mapping[str, str], tuple[PreparedTask, ...]]:
    """Every prompt with its seeds; all tasks have the same judge, and there is one region."""
    asked, judges = drawing_tasks(), Judges()
    judge = asked[0].judge
    places = Places(
        prompts=lies(asked[0].dataset.repo),
        judge=lies(judge.model),
        references=lies(judge.references.dataset.repo),
    )
    return (
        {task.id: task.title for task in asked},
        tuple(prepare_drawings(task, places, judges, splits) for task in asked),
    )


def drawing_tasks() -> tuple[DrawingTask, ...]:
    """The drawing tasks of the demo."""
    return load_tasks(recipes_folder() / "demo" / "diffusion", DrawingTask)


def questions_of(part: DemoFamily) -> FamilyQuestions:
    """How the models of a family of the demo world are asked."""
    return QUESTIONS[part.family]


def _vision_backend(_: Path) -> EvaluationBackend:
    from ggez_hub.demo.vision_cache import cached_vision_backend

    return cached_vision_backend()


QUESTIONS = {
    "embedding": FamilyQuestions(TENTHS, by_tasks(EMBEDDING, details=False)),
    "vlm": FamilyQuestions(QUARTERS, by_tasks(VLM, details=True), _vision_backend),
    "diffusion": FamilyQuestions(
        QUARTERS, _prepare, lambda scratch: drawing_backend(get_family("diffusion"), None, scratch)
    ),
}
