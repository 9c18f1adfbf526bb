"""Predictions as a file: one row for each question, from which every score can be recomputed.

Parquet, sorted by beta, task and split, items in the order of the data. The same outcomes give the
same bytes with the same version of pyarrow (which writes its version into the file). Columns:

    beta double, task string, split string     the cell of the grid; of a composition `beta` is a list
                                               of double: a beta for each adapter, in their order
    item, gold, predicted string               ids of the data; predicted is "" if it was unreadable
    rank int32, correct bool, chance double    see ggez_hub.evaluation.answers.outcomes

and, where more is recorded, the nullable columns of DETAILS, with those of SHOWN where options were shown. In such a file a rank of 0 marks a
question that was not asked because its picture is gone. Where a part of a question can be right there
is `credit` (double, null in other tasks) too, and where prompts were identified `prompt_language`
(string, BCP 47; see ggez_hub.evaluation.benchmarks.prompt_language). Files from before that have no such column.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ggez_hub.atomic_files import atomic_file
from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Cell, Details, Outcomes
from ggez_hub.extras import require
from ggez_hub.parity.betas import JOIN, as_json, betas_of, point
from ggez_hub.parquet import FileTooLarge, read_bounded

if TYPE_CHECKING:
    import pyarrow as pa


CREDIT = "credit"
PROMPT_LANGUAGE = "prompt_language"
# Column -> the field of Details.
DETAILS = {
    "image_sha256": "images",
    "prompt_sha256": "prompts",
    "raw": "raw",
    "log_likelihoods": "log_likelihoods",
    "country": "countries",
    "language": "languages",
    "category": "categories",
}
# Where options were shown: them, and what read the reply.
SHOWN = {"options": "options", "reader": "readers"}


class BadPredictions(GgezError):
    """A file holds no predictions, or they contradict themselves."""


def write_predictions(path: Path, outcomes: Mapping[Cell, Outcomes]) -> str:
    """Write all outcomes to `path` and return the sha256 of the file, which a card records."""
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    detailed = any(o.missing or _is_detailed(o.details) for o in outcomes.values())
    identified = any(o.details and any(o.details.prompt_languages) for o in outcomes.values())
    credited = any(o.credit is not None for o in outcomes.values())
    composed = any(len(betas_of(cell.beta)) > 1 for cell in outcomes)
    shown = any(o.details is not None and any(o.details.options) for o in outcomes.values())
    schema = _schema(
        detailed=detailed,
        credited=credited,
        composed=composed,
        identified=identified,
        shown=shown,
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

    Raises BadPredictions if the columns are others, a cell or an item stands there twice, or a row
    contradicts itself (correct means rank 1).
    """
    found = parse_predictions(path)
    for cell, outcomes in found.items():
        if problems := row_problems(outcomes):
            raise BadPredictions(f"{path}: {problems[0]} in {cell}")
    return found


def parse_predictions(path: Path) -> dict[Cell, Outcomes]:
    """The outcomes of a file as they stand there, contradictions included.

    Raises BadPredictions if the columns are others, there is more than a measurement can have, a beta
    is none, or the rows of a cell are not together.
    """
    require("eval", "pyarrow")
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        there = pq.read_schema(path).remove_metadata()
        detailed, credited = not {*there.names}.isdisjoint(DETAILS), CREDIT in there.names
        identified = PROMPT_LANGUAGE in there.names
        composed = "beta" in there.names and pa.types.is_list(there.field("beta").type)
        shown = not {*there.names}.isdisjoint(SHOWN)
        if there != _schema(
            detailed=detailed,
            credited=credited,
            composed=composed,
            identified=identified,
            shown=shown,
        ):
            raise BadPredictions(f"{path} has other columns than predictions: {there.names}")
        table = read_bounded(path, there)
    except (OSError, FileTooLarge, pa.ArrowException) as error:
        raise BadPredictions(f"{path} cannot be read as parquet: {error}") from error
    keys = zip(*(table.column(name).to_pylist() for name in Cell._fields), strict=True)
    found: dict[Cell, Outcomes] = {}
    start = 0
    for key, rows in groupby(keys):
        cell, count = _cell(path, *key), sum(1 for _ in rows)
        if cell in found:
            raise BadPredictions(f"{path}: the rows of {cell} are not together")
        found[cell] = _outcomes(
            table.slice(start, count),
            detailed=detailed,
            credited=credited,
            identified=identified,
            shown=shown,
        )
        start += count
    if len({len(betas_of(cell.beta)) for cell in found}) > 1:
        raise BadPredictions(f"{path} has betas of several numbers of adapters")
    return found


def _cell(path: Path, beta: Any, task: str, split: str) -> Cell:
    each = beta if isinstance(beta, list) else [beta]
    if not all(math.isfinite(own) and own >= 0 for own in each):
        shown = JOIN.join(f"{own:g}" for own in each)
        raise BadPredictions(f"{path}: there is no such beta as in {task}/{split} at beta {shown}")
    if isinstance(beta, list) and len(beta) < 2:
        raise BadPredictions(f"{path}: {beta} are not the betas of several adapters")
    return Cell(point(each), task, split)


def row_problems(outcomes: Outcomes) -> list[str]:
    """Rows that cannot be, whatever the task is; each names its item."""
    found = []
    items = [*outcomes.items, *outcomes.missing]
    if len(set(items)) != len(items):
        twice = next(item for item, count in Counter(items).items() if count > 1)
        found.append(f"an item stands twice: {twice!r}")
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


def _is_detailed(details: Details | None) -> bool:
    """Whether anything is recorded but the language of the prompts, which has a column of its own."""
    return details is not None and replace(details, prompt_languages=()) != replace(
        Details.of(len(details.images)), prompt_languages=()
    )


def _schema(
    *,
    detailed: bool,
    credited: bool,
    composed: bool = False,
    identified: bool = False,
    shown: bool = False,
) -> pa.Schema:
    import pyarrow as pa

    types = {
        "beta": _list(pa.float64(), nullable=False) if composed else pa.float64(),
        "task": pa.string(),
        "split": pa.string(),
        "item": pa.string(),
        "gold": pa.string(),
        "predicted": pa.string(),
        "rank": pa.int32(),
        "correct": pa.bool_(),
        "chance": pa.float64(),
    }
    more = {
        name: _list(pa.float64(), nullable=True) if name == "log_likelihoods" else pa.string()
        for name in DETAILS
        if detailed
    }
    if shown:
        more |= {"options": _list(pa.string(), nullable=True), "reader": pa.int32()}
    return pa.schema(
        [
            *(pa.field(name, kind, nullable=False) for name, kind in types.items()),
            *(pa.field(name, kind) for name, kind in more.items()),
            *([pa.field(CREDIT, pa.float64())] if credited else []),
            *([pa.field(PROMPT_LANGUAGE, pa.string())] if identified else []),
        ]
    )


def _list(of: pa.DataType, *, nullable: bool) -> pa.DataType:
    import pyarrow as pa

    return pa.list_(pa.field("element", of, nullable=nullable))


def _table(cell: Cell, outcomes: Outcomes, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    gone = outcomes.missing
    n, blank = len(outcomes) + len(gone), ("",) * len(gone)
    details = outcomes.details or Details.of(len(outcomes))
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
        **{
            column: getattr(details, field) + (None,) * len(gone)
            for column, field in (DETAILS | SHOWN).items()
        },
        CREDIT: [None] * n
        if outcomes.credit is None
        else [*outcomes.credit.tolist(), *[None] * len(gone)],
        PROMPT_LANGUAGE: details.prompt_languages + (None,) * len(gone),
    }
    return pa.table({name: columns[name] for name in schema.names}, schema=schema)


def _outcomes(
    table: pa.Table, *, detailed: bool, credited: bool, identified: bool, shown: bool
) -> Outcomes:
    import pyarrow as pa

    gone: tuple[str, ...] = ()
    if detailed:
        asked = table.column("rank").to_numpy() != 0
        gone = tuple(table.filter(pa.array(~asked)).column("item").to_pylist())
        table = table.filter(pa.array(asked))
    columns: dict[str, Any] = {
        field: tuple(
            tuple(v) if isinstance(v, list) else v for v in table.column(column).to_pylist()
        )
        for column, field in (DETAILS | SHOWN if shown else DETAILS).items()
        if detailed
    }
    if identified:
        columns["prompt_languages"] = tuple(table.column(PROMPT_LANGUAGE).to_pylist())
    return Outcomes(
        items=tuple(table.column("item").to_pylist()),
        gold=tuple(table.column("gold").to_pylist()),
        predicted=tuple(table.column("predicted").to_pylist()),
        rank=table.column("rank").to_numpy(),
        correct=table.column("correct").to_numpy(),
        chance=table.column("chance").to_numpy(),
        missing=gone,
        details=Details.of(len(table), **columns) if columns else None,
        credit=_credit(table) if credited else None,
    )


def _credit(table: pa.Table) -> NDArray[np.float64] | None:
    """The credit of a cell; None for a task whose questions are right or wrong."""
    values = table.column(CREDIT)
    if values.null_count == len(values) and len(values):
        return None
    # A null among others is out of range, and found as such.
    return np.array([math.nan if v is None else v for v in values.to_pylist()], np.float64)
