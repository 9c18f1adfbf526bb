"""Predictions as a file: one row for each question, from which every score can be recomputed.

Parquet, sorted by beta, task and split, items in the order of the data. The same outcomes give the
same bytes with the same version of pyarrow (which writes its version into the file). Columns:

    beta double, task string, split string     the cell of the grid
    item, gold, predicted string               ids of the data
    rank int32, correct bool, chance double    see ggez_hub.evaluation.outcomes
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.extras import require
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.scores import Score, score_of
from ggez_hub.weights import sha256_file

if TYPE_CHECKING:
    import pyarrow as pa


class BadPredictions(GgezError):
    """A file holds no predictions, or they contradict themselves."""


def write_predictions(path: Path, outcomes: Mapping[Cell, Outcomes]) -> str:
    """Write all outcomes to `path` and return the sha256 of the file, which a card records."""
    require("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    tables = [_table(cell, outcomes[cell]) for cell in sorted(outcomes)]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    pq.write_table(
        pa.concat_tables(tables) if tables else _schema().empty_table(),
        partial,
        compression="zstd",
        compression_level=9,
        row_group_size=1 << 20,
        store_schema=False,
        version="2.6",
        data_page_version="1.0",
    )
    partial.replace(path)
    return sha256_file(path)


def read_predictions(path: Path) -> dict[Cell, Outcomes]:
    """The outcomes of a file.

    Raises BadPredictions if the columns are others, a cell or an item stands there twice, or a row
    contradicts itself (correct means rank 1).
    """
    require("pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowInvalid) as error:
        raise BadPredictions(f"{path} cannot be read as parquet: {error}") from error
    if table.schema.remove_metadata() != _schema():
        raise BadPredictions(f"{path} has other columns than predictions: {table.schema.names}")
    keys = zip(*(table.column(name).to_pylist() for name in Cell._fields), strict=True)
    found: dict[Cell, Outcomes] = {}
    start = 0
    for key, rows in groupby(keys):
        cell, count = Cell(*key), sum(1 for _ in rows)
        if cell in found:
            raise BadPredictions(f"{path}: the rows of {_name(cell)} are not together")
        found[cell] = _outcomes(path, cell, table.slice(start, count))
        start += count
    return found


def rescore(path: Path) -> dict[Cell, Score]:
    """The scores of a file of predictions, from nothing but the file; raises BadPredictions."""
    return {cell: score_of(outcomes) for cell, outcomes in read_predictions(path).items()}


def _schema() -> pa.Schema:
    import pyarrow as pa

    types = {
        "beta": pa.float64(),
        "task": pa.string(),
        "split": pa.string(),
        "item": pa.string(),
        "gold": pa.string(),
        "predicted": pa.string(),
        "rank": pa.int32(),
        "correct": pa.bool_(),
        "chance": pa.float64(),
    }
    return pa.schema([pa.field(name, kind, nullable=False) for name, kind in types.items()])


def _table(cell: Cell, outcomes: Outcomes) -> pa.Table:
    import pyarrow as pa

    n = len(outcomes)
    return pa.table(
        {
            "beta": np.full(n, cell.beta),
            "task": [cell.task] * n,
            "split": [cell.split] * n,
            "item": outcomes.items,
            "gold": outcomes.gold,
            "predicted": outcomes.predicted,
            "rank": outcomes.rank,
            "correct": outcomes.correct,
            "chance": outcomes.chance,
        },
        schema=_schema(),
    )


def _outcomes(path: Path, cell: Cell, table: pa.Table) -> Outcomes:
    outcomes = Outcomes(
        items=tuple(table.column("item").to_pylist()),
        gold=tuple(table.column("gold").to_pylist()),
        predicted=tuple(table.column("predicted").to_pylist()),
        rank=table.column("rank").to_numpy(),
        correct=table.column("correct").to_numpy(),
        chance=table.column("chance").to_numpy(),
    )
    if len(set(outcomes.items)) != len(outcomes):
        raise BadPredictions(f"{path}: an item stands twice in {_name(cell)}")
    wrong = np.flatnonzero(outcomes.correct != (outcomes.rank == 1))
    if wrong.size:
        item = outcomes.items[wrong[0]]
        raise BadPredictions(f"{path}: rank and correct of {item!r} disagree in {_name(cell)}")
    if not np.all((outcomes.rank >= 1) & (outcomes.chance > 0) & (outcomes.chance <= 1)):
        raise BadPredictions(f"{path}: a rank or a chance is out of range in {_name(cell)}")
    return outcomes


def _name(cell: Cell) -> str:
    return f"{cell.task}/{cell.split} at beta {cell.beta:g}"
