"""The demo's drawings: a part of the card's evidence is drawn and judged again.

All of the evidence takes minutes: here each test prompt is drawn once, with the first seed, by the
base, the merge and the unmerged adapter, and every answer is compared with the one that is recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ggez_hub.evaluation.comparison import Estimate, Sides, mean, parity
from ggez_hub.evaluation.grid import Progress
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.predictions import read_predictions
from ggez_hub.evaluation.recognition.measuring import Folders, measure_drawings, shuffled
from ggez_hub.evaluation.recognition.task import DrawingTask
from ggez_hub.families import Family


@dataclass(frozen=True)
class Row:
    """The model at one beta on the test prompts: a score for each side, and parity above chance.

    control  the same drawings on both sides with the prompts shuffled
    """

    beta: float
    english: Estimate
    regional: Estimate
    grp: Estimate
    control: Estimate


@dataclass(frozen=True)
class Redrawn:
    """What was drawn again; `equal` of `compared` answers are those of the evidence."""

    rows: tuple[Row, ...]
    seeds: int
    compared: int
    equal: int


def redraw(
    folders: Folders,
    evidence: Path,
    family: Family,
    tasks: Sequence[DrawingTask],
    alpha: float,
    beta: float,
    progress: Progress | None = None,
) -> Redrawn:
    """Draw every test prompt with one seed at beta 0, `beta` and 1; raises BadPredictions."""
    asked = [
        t.model_copy(update={"drawing": t.drawing.model_copy(update={"seeds": 1})}) for t in tasks
    ]
    betas = sorted({0.0, beta, 1.0})
    drawn = measure_drawings(folders, family, asked, betas, ("test",), progress).outcomes
    recorded = read_predictions(evidence)
    return Redrawn(
        rows=tuple(_row(b, drawn, asked, alpha) for b in betas),
        seeds=1,
        compared=sum(len(o) for cell, o in drawn.items() if cell in recorded),
        equal=sum(_equal(o, recorded[cell]) for cell, o in drawn.items() if cell in recorded),
    )


def _row(
    beta: float, drawn: Mapping[Cell, Outcomes], tasks: Sequence[DrawingTask], alpha: float
) -> Row:
    def of(side: str) -> tuple[Outcomes, ...]:
        return tuple(drawn[Cell(beta, t.id, "test")] for t in tasks if t.side == side)

    sides = Sides(of("global"), of("regional"))
    return Row(
        beta,
        mean(sides.global_tasks),
        mean(sides.regional_tasks),
        parity(sides, alpha),
        mean([shuffled(o) for o in (*sides.global_tasks, *sides.regional_tasks)]),
    )


def _equal(now: Outcomes, then: Outcomes) -> int:
    """How many drawings were judged as they are recorded."""
    recorded = dict(zip(then.items, then.predicted, strict=True))
    return int(
        np.sum([recorded.get(i) == p for i, p in zip(now.items, now.predicted, strict=True)])
    )
