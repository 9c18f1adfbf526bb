"""The demo's figures, recomputed from pictures: nothing of them is read from the card.

The global side are English names of pictures, the regional side names in the region's languages:
it measures language, not culture, and the figure is a demo parity.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ggez_hub.cards import AdapterCard
from ggez_hub.evaluation.comparison import Estimate, Sides, mean, parity, parity_difference
from ggez_hub.evaluation.curve import curve_rows
from ggez_hub.evaluation.grid import BETAS, Measurement, Progress, measure
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.prepared import prepare_tasks, tasks_for
from ggez_hub.evaluation.scores import Score
from ggez_hub.evaluation.selection import trade
from ggez_hub.evaluation.subjects import grid_on, model_in
from ggez_hub.evaluation.task import SplitName, Task
from ggez_hub.families import Family
from ggez_hub.regions import find_region

METRIC = "text_to_image_r1"


@dataclass(frozen=True)
class Row:
    """The model at one beta on test: the score of each side, and parity above chance."""

    beta: float
    english: Estimate
    regional: Estimate
    grp: Estimate


@dataclass(frozen=True)
class Rival:
    """Another of the three models, and how far the best is ahead of it in GRP, item by item."""

    label: str
    lead: Estimate


@dataclass(frozen=True, eq=False)
class Demo:
    """Everything that the demo shows.

    `languages` names those of the regional side. `card_rows` and `card_equal` count the rows of the card's curve that were recomputed, and those
    that came out equal. `merged_equal` says whether the merged folder, loaded from disk, answers
    every test question as the grid's model at its beta does.
    """

    languages: str
    rows: tuple[Row, ...]
    beta: float
    beta_from_validation: float
    best: str
    rivals: tuple[Rival, ...]
    choice: dict[str, dict[float, Score]]
    card_rows: int
    card_equal: int
    merged_equal: bool

    def row(self, beta: float) -> Row:
        """The row of one beta."""
        return next(row for row in self.rows if row.beta == beta)


@dataclass(frozen=True)
class Folders:
    """Where the parts lie: base, adapter and data as fetched, and the merged model as pulled."""

    base: Path
    adapter: Path
    merged: Path
    data: Path


def recompute(
    folders: Folders,
    card: AdapterCard,
    tasks: Sequence[Task],
    family: Family,
    alpha: float,
    beta: float,
    betas: Sequence[float] = BETAS,
    progress: Progress | None = None,
) -> Demo:
    """Ask every question of the demo again, of the base, the grid, and the merged folder.

    0, 1 and `beta` are always in the grid.
    """
    asked = tasks_for(tasks, find_region(card.region))
    betas = sorted({*betas, 0.0, beta, 1.0})
    prepared = prepare_tasks(asked, folders.data, details=False)
    model = Model(folders.base, (folders.adapter,), family)
    grid = measure(grid_on(model, betas), prepared, progress=progress)
    tests = [replace(task, asked={"test": task.asked["test"]}) for task in prepared]
    loaded = measure([model_in(folders.merged, family)], tests)
    sides = {b: _sides(grid, asked, b, "test") for b in betas}
    models = {"base": 0.0, "merged": beta, "unmerged": 1.0}
    best = max(models, key=lambda name: (parity(sides[models[name]], alpha).value, name == "base"))
    curve = curve_rows(
        grid.outcomes,
        grid.records(),
        grid.models,
        measured_by="registry",
        evaluator="demo",
        predictions="unknown",
    )
    chosen = trade(curve, "validation", alpha, card.region, card.region).chosen.beta
    equal, compared = _against(card, grid)
    return Demo(
        languages=_languages(asked),
        rows=tuple(
            Row(
                b,
                mean(sides[b].global_tasks),
                mean(sides[b].regional_tasks),
                parity(sides[b], alpha),
            )
            for b in betas
        ),
        beta=beta,
        beta_from_validation=chosen,
        best=best,
        rivals=tuple(
            Rival(name, parity_difference(sides[models[best]], sides[b], alpha))
            for name, b in models.items()
            if b != models[best]
        ),
        choice={
            task.title: {b: grid.scores()[Cell(b, task.id, "test")] for b in models.values()}
            for task in asked
            if task.metric == "choice_4"
        },
        card_rows=compared,
        card_equal=equal,
        merged_equal=all(
            grid.outcomes[Cell(beta, cell.task, "test")].predicted == outcomes.predicted
            for cell, outcomes in loaded.outcomes.items()
        ),
    )


def _sides(grid: Measurement, tasks: Sequence[Task], beta: float, split: SplitName) -> Sides:
    def of(side: str) -> tuple[Outcomes, ...]:
        return tuple(
            grid.outcomes[Cell(beta, task.id, split)]
            for task in tasks
            if task.side == side and task.metric == METRIC
        )

    return Sides(of("global"), of("regional"))


def _languages(tasks: Sequence[Task]) -> str:
    """The one language of the regional side in English, or how many there are."""
    from babel import Locale

    tags = sorted({task.language for task in tasks if task.side == "regional"})
    if len(tags) > 1:
        return f"regional ({len(tags)} languages)"
    return str(Locale.parse(tags[0], sep="-").get_display_name("en"))


def _against(card: AdapterCard, grid: Measurement) -> tuple[int, int]:
    """How many rows of the card's curve came out equal, of those that were recomputed."""
    if card.curve == "unknown":
        return 0, 0
    scores = grid.scores()
    rows = [
        (row.score, scores[cell].score)
        for beta, by_task in card.curve.items()
        for key, row in by_task.items()
        if (cell := Cell(float(beta), key.rpartition("/")[0], row.split)) in scores
    ]
    return sum(abs(recorded - found) < 1e-9 for recorded, found in rows), len(rows)
