"""The control of a world's figures: the same questions with the names shuffled among pictures.

A model that has learnt which name belongs to which picture must do better than on shuffled names;
one that has learnt something else (that some pictures are often right, say) need not.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path

from ggez_hub.evaluation.comparison import Estimate, mean_difference
from ggez_hub.evaluation.grid import measure
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.prepared import prepare_tasks
from ggez_hub.evaluation.subjects import grid_on
from ggez_hub.evaluation.task import Task
from ggez_hub.families import Family


def lead_over_shuffled(
    base: Path, adapter: Path | None, family: Family, tasks: Sequence[Task], data: Path, beta: float
) -> dict[str, Estimate]:
    """Task id -> how far the score on test is ahead of that with shuffled names, in points."""
    with tempfile.TemporaryDirectory() as folder:
        shuffled = Path(folder)
        shutil.copytree(data, shuffled, dirs_exist_ok=True)
        for path in {task.splits["test"] for task in tasks}:
            _shuffle(shuffled / path, sorted({task.columns.text for task in tasks}))
        real, control = (
            _outcomes(base, adapter, family, tasks, place, beta) for place in (data, shuffled)
        )
    return {name: mean_difference([real[name]], [control[name]]) for name in real}


def _outcomes(
    base: Path, adapter: Path | None, family: Family, tasks: Sequence[Task], data: Path, beta: float
) -> dict[str, Outcomes]:
    model = Model(base, (adapter,) if adapter else (), family)
    asked = prepare_tasks(tasks, data, ("test",), details=False)
    found = measure(grid_on(model, [beta]), asked).outcomes
    return {task.id: found[Cell(beta, task.id, "test")] for task in tasks}


def _shuffle(path: Path, columns: Sequence[str]) -> None:
    """Permute each column among its rows that have a name, by a fixed seed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    for column in columns:
        values = table.column(column).to_pylist()
        places = [i for i, value in enumerate(values) if value is not None]
        names = [values[i] for i in places]
        random.Random(0).shuffle(names)  # noqa: S311 - a control, not a secret
        for place, name in zip(places, names, strict=True):
            values[place] = name
        number = table.schema.get_field_index(column)
        field = table.schema.field(number)
        table = table.set_column(number, field, pa.array(values, field.type))
    pq.write_table(table, path)
