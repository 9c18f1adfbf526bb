"""Every drawing task at every beta: merged, drawn, judged; and the control with shuffled prompts.

The questions are a prompt with a seed. Drawings of one prompt stand together: intervals are over
prompts, not over pictures.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np

from ggez_hub.cards.schema import CurveRow
from ggez_hub.evaluation.curve import curve_rows
from ggez_hub.evaluation.evidence import TaskRecord
from ggez_hub.evaluation.extras import require
from ggez_hub.evaluation.grid import Progress
from ggez_hub.evaluation.identity import Model, model_digests
from ggez_hub.evaluation.items import BadItems
from ggez_hub.evaluation.outcomes import Cell, Details, Outcomes
from ggez_hub.evaluation.questions import Questions
from ggez_hub.evaluation.recognition.judge import Judge
from ggez_hub.evaluation.recognition.painter import Painter
from ggez_hub.evaluation.recognition.task import METRIC, DrawingTask
from ggez_hub.evaluation.task import SplitName
from ggez_hub.families import Family
from ggez_hub.merging import Adapter, merge
from ggez_hub.weights import digest_json, sha256_file

BETAS: tuple[float, ...] = (0, 0.25, 0.5, 0.75, 1)


@dataclass(frozen=True)
class Folders:
    """Where the parts lie: the two models, and the data sets of prompts and of references."""

    base: Path
    adapter: Path | None
    prompts: Path
    judge: Path
    references: Path


@dataclass(frozen=True, eq=False)
class Drawn:
    """What came out, and what has to be known of the tasks and models.

    models  beta key -> sha256 over the base's weights, the adapter's files and beta
    """

    outcomes: Mapping[Cell, Outcomes]
    records: Mapping[str, TaskRecord]
    models: Mapping[str, str]

    def curve(
        self, measured_by: Literal["self", "registry"], evaluator: str, predictions: str
    ) -> dict[str, dict[str, CurveRow]]:
        """A card's curve; see `curve_rows`."""
        return curve_rows(
            self.outcomes,
            self.records,
            self.models,
            measured_by=measured_by,
            evaluator=evaluator,
            predictions=predictions,
        )


def measure_drawings(
    folders: Folders,
    family: Family,
    tasks: Sequence[DrawingTask],
    betas: Sequence[float] = BETAS,
    splits: Sequence[SplitName] = ("validation", "test"),
    progress: Progress | None = None,
) -> Drawn:
    """Draw every prompt of every task at every beta; all tasks have the same judge.

    At each beta the model is merged into a temporary folder and loaded from there. Raises BadItems,
    UsageProblem, and what merging raises.
    """
    references = tasks[0].judge.references
    ids = [row["id"] for row in _rows(folders.prompts / references.candidates, {"id": "id"})]
    asked = {
        (task.id, split): _rows(folders.prompts / task.splits[split], task.columns.model_dump())
        for task in tasks
        for split in splits
    }
    judge: Judge | None = None
    outcomes: dict[Cell, Outcomes] = {}
    for number, beta in enumerate(betas):
        with tempfile.TemporaryDirectory() as scratch:
            painter = Painter(_merged(folders, family, beta, Path(scratch, "merged")))
        judge = judge or Judge(folders.judge, ids, folders.references, references, painter.pixels)
        for task in tasks:
            for split in splits:
                outcomes[Cell(beta, task.id, split)] = _answer(
                    painter, judge, task, asked[task.id, split]
                )
        if progress:
            progress(number + 1, len(betas))
    adapters = () if folders.adapter is None else (folders.adapter,)
    data = (
        sha256_file(folders.prompts / references.candidates),
        *(sha256_file(folders.references / path) for path in references.files),
    )
    return Drawn(
        outcomes=outcomes,
        records={task.id: _record(task, folders, splits, data) for task in tasks},
        models=model_digests(Model(folders.base, adapters, family), betas),
    )


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
        given[_item(stands_for[gold], int(item.rpartition("/")[2]))]
        for item, gold in zip(outcomes.items, outcomes.gold, strict=True)
    )
    correct = np.array([a == b for a, b in zip(predicted, outcomes.gold, strict=True)])
    rank = np.where(correct, 1, 2).astype(np.int32)
    return replace(outcomes, predicted=predicted, correct=correct, rank=rank)


def _answer(
    painter: Painter, judge: Judge, task: DrawingTask, rows: Sequence[Mapping[str, str]]
) -> Outcomes:
    seeds = range(task.drawing.seeds)
    wanted = [(row, seed) for row in rows for seed in seeds]
    number = {name: place for place, name in enumerate(judge.ids)}
    for row in rows:
        if row["id"] not in number:
            raise BadItems(f"task {task.id!r}: {row['id']!r} is none of the judge's candidates")
    similarity = judge.similarity(
        painter.draw([(row["prompt"], seed) for row, seed in wanted], task.drawing)
    )
    options = np.broadcast_to(np.arange(len(judge.ids)), similarity.shape)
    own = np.array([number[row["id"]] for row, _ in wanted])
    questions = Questions(
        items=tuple(_item(row["id"], seed) for row, seed in wanted),
        gold=tuple(row["id"] for row, _ in wanted),
        texts=(),
        asked_by="text",
        queries=np.empty(0, np.intp),
        options=options,
        right=options == own[:, None],
        option_ids=judge.ids,
        details=Details.of(
            len(wanted),
            # Drawings of one prompt are about one thing, and are drawn together in a bootstrap.
            images=[digest_json(row["id"]) for row, _ in wanted],
            prompts=[digest_json(row["prompt"]) for row, _ in wanted],
            languages=[task.language] * len(wanted),
        ),
    )
    return questions.scored(similarity)


def _record(
    task: DrawingTask, folders: Folders, splits: Sequence[SplitName], data: Sequence[str]
) -> TaskRecord:
    return TaskRecord(
        metric=METRIC,
        judge=task.judge.name,
        side=task.side,
        regions=task.regions,
        language=task.language,
        dataset=task.dataset.repo,
        revision=task.dataset.revision,
        digests={
            split: task.digest_on(sha256_file(folders.prompts / task.splits[split]), *data)
            for split in splits
        },
    )


def _item(name: str, seed: int) -> str:
    return f"{name}/{seed}"


def _merged(folders: Folders, family: Family, beta: float, out: Path) -> Path:
    if beta == 0 or folders.adapter is None:
        return folders.base
    merge(folders.base, [Adapter(folders.adapter, beta)], out, family)
    return out


def _rows(path: Path, columns: Mapping[str, str]) -> list[dict[str, str]]:
    """The rows of a parquet file, its columns under our names; raises BadItems."""
    require("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path, columns=list(columns.values()))
    except (OSError, pa.ArrowInvalid) as error:
        raise BadItems(f"{path} cannot be read as parquet: {error}") from error
    if missing := [name for name in columns.values() if name not in table.column_names]:
        raise BadItems(f"{path} has no column {missing[0]!r}")
    rows: list[dict[str, str]] = table.rename_columns(
        {old: new for new, old in columns.items()}
    ).to_pylist()
    return rows
