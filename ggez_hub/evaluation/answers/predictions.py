"""Predictions as a file: one row for each question, from which every score can be recomputed.

Parquet, sorted by beta, task and split, items in the order of the data. The same outcomes give the
same bytes with the same version of pyarrow (which writes its version into the file). Columns:

    beta double, task string, split string     the cell of the grid; of a composition `beta` is a list
                                               of double: a beta for each adapter, in their order
    item, gold, predicted string               ids of the data; predicted is "" if it was unreadable
    rank int32, correct bool, chance double    see ggez_hub.evaluation.answers.outcomes

and those of OPTIONAL, all nullable, where something of them is recorded. Where there are `details`, a
rank of 0 marks a question that was not asked because its picture is gone.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ggez_hub.atomic_files import atomic_file
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Answers, Cell, Details, Outcomes
from ggez_hub.extras import require
from ggez_hub.parity.betas import JOIN, as_json, betas_of, point
from ggez_hub.parquet import FileTooLarge, read_bounded

if TYPE_CHECKING:
    import pyarrow as pa

CREDIT = "credit"
# Optional columns, in their order, and the fields of Details that they hold.
DETAILS = {
    "image_sha256": "images",
    "prompt_sha256": "prompts",
    "raw": "raw",
    "log_likelihoods": "log_likelihoods",
    "country": "countries",
    "language": "languages",
    "category": "categories",
}
# Where options were shown: them, and the version of what read the reply.
SHOWN = {"options": "options", "reader": "readers"}
LANGUAGE = {"prompt_language": "prompt_languages"}
FIELDS = DETAILS | SHOWN | LANGUAGE
OPTIONAL: Mapping[str, Collection[str]] = {
    "details": DETAILS,
    "shown": SHOWN,
    "credit": [CREDIT],
    "language": LANGUAGE,
}


def write_predictions(path: Path, outcomes: Answers) -> str:
    """Write all outcomes to `path` and return the sha256 of the file, which a card records."""
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(
        {group for answered in outcomes.values() for group in _groups(answered)},
        composed=any(len(betas_of(cell.beta)) > 1 for cell in outcomes),
    )
    tables = [_table(cell, outcomes[cell], schema) for cell in sorted(outcomes)]
    with atomic_file(path) as partial:
        pq.write_table(
            pa.concat_tables(tables) if tables else schema.empty_table(),
            partial,
            compression="zstd",
            compression_level=9,
            row_group_size=1 << 20,
            store_schema=False,
            version="2.6",
            data_page_version="1.0",
        )
    return sha256_file(path)


def read_predictions(path: Path) -> dict[Cell, Outcomes]:
    """The outcomes of a file.

    Raises GgezError if the columns are others, a cell or an item is there twice, or a row
    contradicts itself (correct means rank 1).
    """
    found = parse_predictions(path)
    for cell, outcomes in found.items():
        if problems := row_problems(outcomes):
            raise GgezError(f"{path}: {problems[0]} in {cell}")
    return found


def parse_predictions(path: Path) -> dict[Cell, Outcomes]:
    """The outcomes of a file as they are, contradictions included.

    Raises GgezError if the columns are others, there is more than a measurement can have, a beta
    is not valid, or the rows of a cell are not together.
    """
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = pq.read_schema(path).remove_metadata()
        groups = {g for g, names in OPTIONAL.items() if not {*there.names}.isdisjoint(names)}
        composed = "beta" in there.names and pa.types.is_list(there.field("beta").type)
        if there != _schema(groups, composed=composed):
            raise GgezError(f"{path} has other columns than predictions: {there.names}")
        table = read_bounded(path, there)
    except (OSError, FileTooLarge, pa.ArrowException) as error:
        raise GgezError(f"{path} cannot be read as parquet: {error}") from error
    keys = zip(*(table.column(name).to_pylist() for name in Cell._fields), strict=True)
    found: dict[Cell, Outcomes] = {}
    start = 0
    for key, rows in groupby(keys):
        cell, count = _cell(path, *key), sum(1 for _ in rows)
        if cell in found:
            raise GgezError(f"{path}: the rows of {cell} are not together")
        found[cell] = _outcomes(table.slice(start, count))
        start += count
    if len({len(betas_of(cell.beta)) for cell in found}) > 1:
        raise GgezError(f"{path} has betas of several numbers of adapters")
    return found


def _cell(path: Path, beta: Any, task: str, split: str) -> Cell:
    each = beta if isinstance(beta, list) else [beta]
    if not all(math.isfinite(own) and own >= 0 for own in each):
        shown = JOIN.join(f"{own:g}" for own in each)
        raise GgezError(f"{path}: {shown} of {task}/{split} is not a valid beta")
    if isinstance(beta, list) and len(beta) < 2:
        raise GgezError(f"{path}: {beta} are not the betas of several adapters")
    return Cell(point(each), task, split)


def row_problems(outcomes: Outcomes) -> list[str]:
    """Rows that cannot be, whatever the task is; each names its item."""
    found = []
    items = [*outcomes.items, *outcomes.missing]
    if len(set(items)) != len(items):
        twice = next(item for item, count in Counter(items).items() if count > 1)
        found.append(f"an item is there twice: {twice!r}")
    for row in np.flatnonzero(outcomes.correct != (outcomes.worth == 1)):
        found.append(f"credit and correct of {outcomes.items[row]!r} disagree")  # noqa: PERF401
    for row in np.flatnonzero(outcomes.correct != (outcomes.rank == 1)):
        found.append(f"rank and correct of {outcomes.items[row]!r} disagree")  # noqa: PERF401
    # What nobody can guess has credit, or is a task of free answers.
    free = outcomes.credit is not None or not outcomes.chance.any()
    guessable = (outcomes.chance > 0) | free
    bad = (outcomes.rank < 1) | ~(guessable & (outcomes.chance >= 0) & (outcomes.chance <= 1))
    bad |= ~((outcomes.worth >= 0) & (outcomes.worth <= 1))
    found += [
        f"a rank, a chance or a credit is out of range: that of {outcomes.items[row]!r}"
        for row in np.flatnonzero(bad)
    ]
    found += [
        f"the answer to {item!r} was unreadable and counts as right"
        for item, given, right in zip(
            outcomes.items, outcomes.predicted, outcomes.correct, strict=True
        )
        if given == UNPARSED and right
    ]
    return found


def _groups(outcomes: Outcomes) -> set[str]:
    """The groups of optional columns that hold something."""

    def are_recorded(fields: Collection[str]) -> bool:
        return any(
            value is not None for field in fields for value in getattr(outcomes.details, field, ())
        )

    found = {
        "details": bool(outcomes.missing) or are_recorded({**DETAILS, **SHOWN}.values()),
        "shown": are_recorded(SHOWN.values()),
        "credit": outcomes.credit is not None,
        "language": are_recorded(LANGUAGE.values()),
    }
    return {group for group, there in found.items() if there}


def _schema(groups: Collection[str], *, composed: bool = False) -> pa.Schema:
    import pyarrow as pa

    def list_of(kind: pa.DataType, *, nullable: bool) -> pa.DataType:
        return pa.list_(pa.field("element", kind, nullable=nullable))

    always = {
        "beta": list_of(pa.float64(), nullable=False) if composed else pa.float64(),
        "task": pa.string(),
        "split": pa.string(),
        "item": pa.string(),
        "gold": pa.string(),
        "predicted": pa.string(),
        "rank": pa.int32(),
        "correct": pa.bool_(),
        "chance": pa.float64(),
    }
    types = {
        "log_likelihoods": list_of(pa.float64(), nullable=True),
        "options": list_of(pa.string(), nullable=True),
        "reader": pa.int32(),
        CREDIT: pa.float64(),
    }
    more = [name for group, names in OPTIONAL.items() if group in groups for name in names]
    return pa.schema(
        [
            *(pa.field(name, kind, nullable=False) for name, kind in always.items()),
            *(pa.field(name, types.get(name, pa.string())) for name in more),
        ]
    )


def _table(cell: Cell, outcomes: Outcomes, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    gone = outcomes.missing
    n, blank, unknown = len(outcomes) + len(gone), ("",) * len(gone), (None,) * len(gone)
    details = outcomes.details or Details.of(len(outcomes))
    credit = outcomes.credit
    columns = {
        "beta": [as_json(cell.beta)] * n,
        "task": [cell.task] * n,
        "split": [cell.split] * n,
        "item": outcomes.items + gone,
        "gold": outcomes.gold + blank,
        "predicted": outcomes.predicted + blank,
        "rank": np.concatenate([outcomes.rank, np.zeros(len(gone), np.int32)]),
        "correct": np.concatenate([outcomes.correct, np.zeros(len(gone), np.bool_)]),
        "chance": np.concatenate([outcomes.chance, np.ones(len(gone))]),
        **{column: getattr(details, field) + unknown for column, field in FIELDS.items()},
        CREDIT: [None] * n if credit is None else [*credit.tolist(), *unknown],
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _outcomes(table: pa.Table) -> Outcomes:
    import pyarrow as pa

    gone: tuple[str, ...] = ()
    if "raw" in table.column_names:
        asked = table.column("rank").to_numpy() != 0
        gone = tuple(table.filter(pa.array(~asked)).column("item").to_pylist())
        table = table.filter(pa.array(asked))
    values: dict[str, list[Any]] = {
        name: table.column(name).to_pylist() for name in table.column_names
    }
    details = {
        field: (tuple(v) if isinstance(v, list) else v for v in values[column])
        for column, field in FIELDS.items()
        if column in values
    }
    credit = values.get(CREDIT, [None])
    return Outcomes(
        items=tuple(values["item"]),
        gold=tuple(values["gold"]),
        predicted=tuple(values["predicted"]),
        rank=table.column("rank").to_numpy(),
        correct=table.column("correct").to_numpy(),
        chance=table.column("chance").to_numpy(),
        missing=gone,
        details=Details.of(len(table), **details) if details else None,
        # A null among others is out of range, and found as such; all null is a task without parts.
        credit=None
        if credit and not any(v is not None for v in credit)
        else np.array([math.nan if v is None else v for v in credit], np.float64),
    )
