"""The controls of the world's figures: the same questions with shuffled names, or without pictures.

A model that has learnt which name belongs to which picture must do better than on names that are
shuffled among the pictures; one that has learnt something else (that some pictures are often right,
say) need not. One that writes must do better than where every picture is blank: else it chooses by
the names alone.
"""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.evaluation.comparison import Estimate, mean_difference
from ggez_hub.evaluation.grid import measure
from ggez_hub.evaluation.identity import Model
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.prepared import prepare_tasks
from ggez_hub.evaluation.subjects import grid_on
from ggez_hub.evaluation.subjects.opening import Way
from ggez_hub.evaluation.task import Task
from ggez_hub.families import Family
from ggez_hub.world.raster import SIZE, webp


def lead_over_shuffled(
    base: Path, adapter: Path | None, family: Family, tasks: Sequence[Task], data: Path, beta: float
) -> dict[str, Estimate]:
    """Task id -> how far the score on test is ahead of that with shuffled names, in points."""
    columns = sorted({task.columns.text for task in tasks})
    model = Model(base, (adapter,) if adapter else (), family)
    with _spoilt(data, tasks, lambda path: _shuffle(path, columns)) as shuffled:
        real, control = (_outcomes(model, tasks, place, [beta], None) for place in (data, shuffled))
    return {task.id: _lead(real, control, Cell(beta, task.id, "test")) for task in tasks}


def lead_over_blank(
    model: Model,
    tasks: Sequence[Task],
    data: Path,
    real: Mapping[Cell, Outcomes],
    betas: Sequence[float],
    way: Way | None,
) -> dict[Cell, Estimate]:
    """How far `real` answers on test are ahead of those to blank pictures, in points, at each beta."""
    with _spoilt(data, tasks, _blank) as blank:
        control = _outcomes(model, tasks, blank, betas, way)
    return {cell: _lead(real, control, cell) for cell in control}


@contextmanager
def _spoilt(data: Path, tasks: Sequence[Task], spoil: Callable[[Path], None]) -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        shutil.copytree(data, folder, dirs_exist_ok=True)
        for path in {task.splits["test"] for task in tasks}:
            spoil(Path(folder) / path)
        yield Path(folder)


def _lead(real: Mapping[Cell, Outcomes], control: Mapping[Cell, Outcomes], cell: Cell) -> Estimate:
    return mean_difference([real[cell]], [control[cell]])


def _outcomes(
    model: Model, tasks: Sequence[Task], data: Path, betas: Sequence[float], way: Way | None
) -> Mapping[Cell, Outcomes]:
    asked = prepare_tasks(tasks, data, ("test",), details=way is not None)
    return measure(grid_on(model, betas, way), asked).outcomes


def _blank(path: Path) -> None:
    """Put a white square in the place of every picture."""
    import pyarrow as pa
    import pyarrow.parquet as pq
    from PIL import Image

    white = webp(Image.new("RGB", (SIZE, SIZE), "white"))
    table = pq.read_table(path)
    number = table.schema.get_field_index("image")
    field = table.schema.field(number)
    rows = [{"bytes": white, "path": None}] * table.num_rows
    pq.write_table(table.set_column(number, field, pa.array(rows, field.type)), path)


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
