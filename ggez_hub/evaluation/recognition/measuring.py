"""Every drawing task of one adapter over the grid; and the control with shuffled prompts."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ggez_hub.evaluation.grid import Measurement, Progress, measure
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.recognition.asking import Judges, Places, prepare_drawings
from ggez_hub.evaluation.recognition.task import DrawingTask
from ggez_hub.evaluation.subjects import grid_on
from ggez_hub.evaluation.subjects.opening import painter_way
from ggez_hub.evaluation.task import SplitName
from ggez_hub.families import Family

BETAS: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Folders:
    """Where the parts lie: base and adapter, and the data of the tasks."""

    base: Path
    adapter: Path
    data: Places


def measure_drawings(
    folders: Folders,
    family: Family,
    tasks: Sequence[DrawingTask],
    betas: Sequence[float] = BETAS,
    splits: Sequence[SplitName] = ("validation", "test"),
    progress: Progress | None = None,
) -> Measurement:
    """Draw every prompt of every task at every beta; nothing is kept but the answers.

    Raises BadItems, UsageProblem, and what opening model and adapter raises.
    """
    judges = Judges()
    prepared = [prepare_drawings(task, folders.data, judges, splits) for task in tasks]
    with tempfile.TemporaryDirectory() as scratch:
        way = painter_way(family, None, Path(scratch))
        models = grid_on(Model(folders.base, (folders.adapter,), family), betas, way)
        return measure(models, prepared, progress=progress)


def shuffled(outcomes: Outcomes) -> Outcomes:
    """The control: the same drawings, each held to be for another prompt of the task.

    With a fixed seed; a prompt's drawing with seed s takes the place of another's with seed s, as if
    the prompts had been shuffled before they were drawn.
    """
    names = sorted(set(outcomes.gold))
    order = names[:]
    # A shuffle in one cycle: no prompt keeps its place.
    random.Random(0).shuffle(order)  # noqa: S311 - a control, not a secret
    stands_for = dict(zip(order, order[1:] + order[:1], strict=True))
    given = dict(zip(outcomes.items, outcomes.predicted, strict=True))
    predicted = tuple(
        given[f"{stands_for[gold]}/{item.rpartition('/')[2]}"]
        for item, gold in zip(outcomes.items, outcomes.gold, strict=True)
    )
    correct = np.array([a == b for a, b in zip(predicted, outcomes.gold, strict=True)])
    rank = np.where(correct, 1, 2).astype(np.int32)
    return replace(outcomes, predicted=predicted, correct=correct, rank=rank)
