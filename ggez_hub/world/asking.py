"""What a family's models are asked for its cards and in the demo: all of its tasks, or a part."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, TypeAlias

import numpy as np

from ggez_hub.cards import AlphaRecord, CurveRow
from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.evaluation.asked import Asked
from ggez_hub.evaluation.comparison import Sides
from ggez_hub.evaluation.curve import NOBODY, curve_rows, parity_of
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.grid import Progress, measure
from ggez_hub.evaluation.header import Header, TaskRecord
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.prepared import Prepared, prepare_tasks, tasks_for
from ggez_hub.evaluation.subjects import grid_on
from ggez_hub.evaluation.subjects.opening import Way
from ggez_hub.evaluation.task import SplitName, Task, load_tasks
from ggez_hub.parity.scales import decisive
from ggez_hub.regions import Region
from ggez_hub.resources import recipes
from ggez_hub.world.parts import Part
from ggez_hub.world.place import Lies

SPLITS: tuple[SplitName, ...] = ("validation", "test")
# Of a part of the tasks every so many questions are asked.
STRIDE = 4


@dataclass(frozen=True, eq=False)
class Answered:
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
    [Lies, Region, Sequence[SplitName]], tuple[Mapping[str, str], tuple[Prepared, ...]]
]
"""Where data lie, the region, the splits -> the titles of the tasks by id, and what is asked."""


class Ask(Protocol):
    """How the models of a family are asked."""

    @property
    def prepare(self) -> Prepare:
        """What is asked, without a model."""

    @property
    def way(self) -> Callable[[Path], Way | None]:
        """How its models are asked, with a folder for drawings."""

    def __call__(
        self,
        model: Model,
        lies: Lies,
        region: Region,
        betas: Sequence[float],
        splits: Sequence[SplitName] = SPLITS,
        *,
        whole: bool = True,
        progress: Progress | None = None,
    ) -> Answered:
        """Ask the model at every beta: everything, or a part of it that takes seconds."""


@dataclass(frozen=True)
class Asking:
    """How a family is asked: what is prepared of its data, and the way, with a folder for drawings."""

    prepare: Prepare
    way: Callable[[Path], Way | None]

    def __call__(
        self,
        model: Model,
        lies: Lies,
        region: Region,
        betas: Sequence[float],
        splits: Sequence[SplitName] = SPLITS,
        *,
        whole: bool = True,
        progress: Progress | None = None,
    ) -> Answered:
        titles, prepared = self.prepare(lies, region, splits)
        if not whole:
            prepared = tuple(_part(task) for task in prepared)
        with tempfile.TemporaryDirectory() as scratch:
            models = grid_on(model, betas, self.way(Path(scratch)))
            found = measure(models, prepared, progress=progress)
        return Answered(titles, found.outcomes, found.records(), found.models)


def by_tasks(part: Part, *, details: bool) -> Prepare:
    """What is asked about pictures.

    `details`: whether each answer records its picture, prompt and likelihoods.
    """

    def prepare(
        lies: Lies, region: Region, splits: Sequence[SplitName]
    ) -> tuple[Mapping[str, str], tuple[Prepared, ...]]:
        tasks = tasks_of(part, region)
        data = lies(tasks[0].dataset.repo)
        titles = {task.id: task.title for task in tasks}
        return titles, prepare_tasks(tasks, data, splits, details=details)

    return prepare


def tasks_of(part: Part, region: Region) -> tuple[Task, ...]:
    """What is asked about pictures for a region."""
    return tasks_for(load_tasks(recipes() / part.tasks), region)


def _part(task: Prepared) -> Prepared:
    return replace(task, asked={split: _every(asked) for split, asked in task.asked.items()})


def _every(asked: Asked) -> Asked:
    """Every STRIDE-th question or drawing; the pictures stay, and so does what each is asked."""
    if asked.recognised is not None:
        drawings = range(0, len(asked.recognised.wanted), STRIDE)
        return replace(asked, recognised=asked.recognised.only(drawings))
    whole = asked.questions
    assert whole is not None  # noqa: S101 - no picture of the world is missing
    rows = np.arange(0, len(whole.items), STRIDE)
    questions = replace(
        whole,
        items=whole.items[::STRIDE],
        gold=whole.gold[::STRIDE],
        queries=whole.queries[rows],
        options=whole.options[rows],
        right=whole.right[rows],
        details=whole.details.take(rows) if whole.details else None,
    )
    return replace(asked, questions=questions, choices=asked.choices[::STRIDE])
