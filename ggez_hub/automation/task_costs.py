"""How many items the tasks of a suite ask, before anything is fetched, and which difference they show."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ggez_hub.automation.suite import Suite
from ggez_hub.evaluation.benchmarks.benchmark import PARTS, Benchmark
from ggez_hub.evaluation.benchmarks.contents import Folders, read_contents
from ggez_hub.evaluation.benchmarks.task import DrawingTask
from ggez_hub.quantities import counted
from ggez_hub.registry.task_data import AnyTask, TaskData

# More of a data set that is not Parquet is not fetched to count its items.
MAX_DATA = 100_000_000


@dataclass(frozen=True)
class TaskCost:
    """The items of a task; None where they are not known.

    items       of the data set: a region's task asks those of its countries alone
    asked       of the test side, at most
    needed      what the suite's sample wants of them; None where all are asked
    difference  in points, that the items asked show with 80 % power, if they are of so many pictures; None
                where the suite assumes no variance
    answers     one model's, at most: on both sides, in each way that it is asked
    """

    task: str
    side: str
    items: int | None
    asked: int | None
    needed: int | None
    difference: float | None
    answers: int | None

    def __str__(self) -> str:
        if self.items is None:
            return f"{self.task} ({self.side}): how many items it has is not known before it is fetched"
        if self.difference is None or self.asked is None:
            return f"{self.task} ({self.side}): {counted(self.items, 'item')}, all of them asked"
        short = self.needed is not None and self.asked < self.needed
        lacking = f"; {self.needed:,} are wanted" if short else ""
        return (
            f"{self.task} ({self.side}): at most {counted(self.asked, 'item')} of the test side, which show a "
            f"difference of {self.difference:.1f} points{lacking}"
        )


def task_costs(
    suite: Suite, tasks: Sequence[AnyTask], data: TaskData, methods: Sequence[str]
) -> tuple[TaskCost, ...]:
    """The items of each task; `methods` are those of the model. Raises what the hub raises."""
    return tuple(_cost(suite, task, data, methods) for task in tasks)


def _cost(suite: Suite, task: AnyTask, data: TaskData, methods: Sequence[str]) -> TaskCost:
    items = data.rows(task)
    if items is None and isinstance(task, Benchmark) and data.nbytes([task]) <= MAX_DATA:
        folder, _ = data.fetch(task.dataset, [*task.files.values()])
        items = len(read_contents(task, Folders(folder)).items)
    if items is None:
        return TaskCost(task.id, task.side, None, None, None, None, None)
    if not isinstance(task, Benchmark):
        times = task.drawing.seeds if isinstance(task, DrawingTask) else 1
        return TaskCost(task.id, task.side, items, None, None, None, times * items)
    selected = math.ceil(items / PARTS)
    asked, answers = items - selected, items
    side = suite.sample.of(task) if suite.sample else None
    if task.sample is not None:
        asked = min(asked, task.sample)
        answers = asked + min(selected, math.ceil(task.sample / (PARTS - 1)))
    if task.searches:
        # Whatever is asked for, every picture is embedded.
        answers = items
    if task.metric == "choice":
        answers *= len(methods)
    if task.drawing is not None:
        answers *= len(task.drawing.seeds)
    seen = side.seen_with(asked) if side else None
    return TaskCost(task.id, task.side, items, asked, task.sample, seen, answers)
