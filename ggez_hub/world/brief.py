"""A family in brief: base, merged and unmerged model asked again, on a part of the pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ggez_hub.cards import AdapterCard
from ggez_hub.evaluation.benchmark_questions import Asked
from ggez_hub.evaluation.comparison import Sides, mean, parity
from ggez_hub.evaluation.grid import Progress, measure
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.prepared import Prepared, prepare_tasks, tasks_for
from ggez_hub.evaluation.subjects import grid_on
from ggez_hub.evaluation.task import Task
from ggez_hub.families import Family
from ggez_hub.regions import find_region
from ggez_hub.world.demo import Folders, Row
from ggez_hub.world.prose import Words

# Every so many pictures of the test are asked about.
STRIDE = 4


@dataclass(frozen=True)
class Brief:
    """The rows of base, merged and unmerged model, on `pictures` pictures of the test.

    `answers_equal` of the `answers` that the adapter's evidence holds too came out equal, and
    `merged_equal` says whether the merged folder, loaded from disk, answers as base + beta * Delta.
    """

    rows: tuple[Row, ...]
    pictures: int
    answers: int
    answers_equal: int
    merged_equal: bool


def in_brief(
    folders: Folders,
    card: AdapterCard,
    tasks: Sequence[Task],
    family: Family,
    words: Words,
    alpha: float,
    beta: float,
    evidence: Mapping[Cell, Outcomes],
    progress: Progress | None = None,
) -> Brief:
    """Ask again; `evidence` are the answers that the adapter's folder holds."""
    asked = tasks_for(tasks, find_region(card.region))
    prepared = [
        _part(t) for t in prepare_tasks(asked, folders.data, ("test",), details=words.details)
    ]
    way, betas = words.way(), sorted({0.0, beta, 1.0})
    model = Model(folders.base, (folders.adapter,), family)
    found = measure(grid_on(model, betas, way), prepared, progress=progress).outcomes
    loaded = measure(grid_on(Model(folders.merged, (), family), [0.0], way), prepared).outcomes
    known = [(found[cell], evidence[cell]) for cell in found if cell in evidence]
    same = [_equal(new, then) for new, then in known]
    rows = []
    for b in betas:
        sides = sides_at(found, asked, b)
        rows.append(
            Row(b, mean(sides.global_tasks), mean(sides.regional_tasks), parity(sides, alpha))
        )
    return Brief(
        rows=tuple(rows),
        pictures=rows[0].english.pictures,
        answers=sum(len(new) for new, _ in known),
        answers_equal=sum(same),
        merged_equal=all(
            found[cell._replace(beta=beta)].predicted == outcomes.predicted
            for cell, outcomes in loaded.items()
        ),
    )


def _part(task: Prepared) -> Prepared:
    return replace(task, asked={split: _every(asked) for split, asked in task.asked.items()})


def _every(asked: Asked) -> Asked:
    """Every STRIDE-th question; the pictures stay, and so does what each is asked."""
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


def _equal(new: Outcomes, then: Outcomes) -> int:
    answer = dict(zip(then.items, then.predicted, strict=True))
    return sum(
        answer.get(item) == said for item, said in zip(new.items, new.predicted, strict=True)
    )


def sides_at(found: Mapping[Cell, Outcomes], tasks: Sequence[Task], beta: float) -> Sides:
    """The outcomes of both sides on test."""

    def of(side: str) -> tuple[Outcomes, ...]:
        return tuple(found[Cell(beta, task.id, "test")] for task in tasks if task.side == side)

    return Sides(of("global"), of("regional"))
