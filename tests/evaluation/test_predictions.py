"""Predictions as a file: the same bytes, the same scores, and no contradictions."""

from __future__ import annotations

import dataclasses
import math
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ggez_hub.digests import sha256_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers import predictions
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Cell, Details, Outcomes
from ggez_hub.evaluation.answers.predictions import (
    DETAILS,
    _schema,
    read_predictions,
    write_predictions,
)
from ggez_hub.evaluation.answers.scores import score_of
from ggez_hub.parquet import FileTooLarge, read_bounded
from tests.evaluation.conftest import change

FIRST = Cell(0.1, "colours-th", "test")


def made(seed, n=50):
    random = np.random.default_rng(seed)
    rank = random.integers(1, 4, n).astype(np.int32)
    ids = tuple(f"i{row}" for row in range(n))
    return Outcomes(
        items=ids,
        gold=ids,
        predicted=tuple(f"i{row if r == 1 else (row + 1) % n}" for row, r in enumerate(rank)),
        rank=rank,
        correct=rank == 1,
        chance=np.full(n, 1 / 3),
    )


def rescore(path):
    """The scores of a file of predictions, from nothing but the file."""
    return {cell: score_of(outcomes) for cell, outcomes in read_predictions(path).items()}


@pytest.fixture
def grid():
    cells = [FIRST, Cell(0.1, "colours-en", "validation"), Cell(0.0, "colours-th", "test")]
    return {cell: made(seed) for seed, cell in enumerate(cells)}


def test_round_trip(tmp_path, grid):
    path = tmp_path / "deep" / "predictions.parquet"
    assert write_predictions(path, grid) == sha256_file(path)
    found = read_predictions(path)
    assert list(found) == sorted(grid)
    for cell, outcomes in grid.items():
        for field in dataclasses.fields(Outcomes):
            before, after = getattr(outcomes, field.name), getattr(found[cell], field.name)
            assert np.array_equal(before, after)
            assert getattr(before, "dtype", None) == getattr(after, "dtype", None)
    assert [p.name for p in path.parent.iterdir()] == ["predictions.parquet"]


def test_bytes_do_not_depend_on_the_order_of_cells(tmp_path, grid):
    backwards = dict(reversed(grid.items()))
    assert write_predictions(tmp_path / "a", grid) == write_predictions(tmp_path / "b", backwards)


def test_scores_come_from_the_file_alone(tmp_path, grid):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, grid)
    assert rescore(path) == {cell: score_of(outcomes) for cell, outcomes in grid.items()}


def test_one_flipped_prediction_changes_score_and_digest(tmp_path, grid):
    path = tmp_path / "predictions.parquet"
    digest, before = write_predictions(path, grid), rescore(path)
    row = 50 * sorted(grid).index(FIRST) + int(np.flatnonzero(~grid[FIRST].correct)[0])
    change(path, "correct", row, value=True)
    with pytest.raises(GgezError, match="rank and correct of 'i"):
        rescore(path)
    change(path, "rank", row, 1)
    after = rescore(path)
    assert after[FIRST].score == pytest.approx(before[FIRST].score + 2)
    assert {cell for cell in after if after[cell] != before[cell]} == {FIRST}
    assert sha256_file(path) != digest


@pytest.mark.parametrize(
    ("column", "row", "value", "message"),
    [
        ("item", 1, "i0", "an item is there twice: 'i0' in colours-th/test at beta 0"),
        ("task", 70, "colours-th", "an item is there twice|are not together"),
        ("beta", 20, 7.0, "the rows of colours-th/test at beta 0 are not together"),
        ("chance", 0, 0.0, "out of range"),
        ("beta", 20, math.nan, "nan of colours-th/test is not a valid beta"),
        ("beta", 149, math.inf, "is not a valid beta"),
        ("beta", 0, -0.5, "is not a valid beta"),
    ],
)
def test_contradictions_are_refused(tmp_path, grid, column, row, value, message):
    path = tmp_path / "predictions.parquet"
    write_predictions(path, grid)
    change(path, column, row, value)
    with pytest.raises(GgezError, match=message):
        read_predictions(path)


def test_other_files_are_refused(tmp_path):
    path = tmp_path / "predictions.parquet"
    path.write_text("no parquet")
    with pytest.raises(GgezError, match="cannot be read as parquet"):
        read_predictions(path)
    pq.write_table(pa.table({"beta": [0.0]}), path)
    with pytest.raises(GgezError, match="other columns"):
        read_predictions(path)


def repeated(path, rows, task="t", likelihoods=None, options=None):
    """A file in which nothing but what it says of its rows is large."""
    detailed = likelihoods is not None
    given = {"details": detailed, "shown": options is not None}
    schema = _schema([group for group, there in given.items() if there])
    row = {
        "beta": 0.0, "task": task, "split": "test", "item": "i", "gold": "g", "predicted": "p",
        "rank": 1, "correct": True, "chance": 0.5, **dict.fromkeys(DETAILS if detailed else ()),
        "log_likelihoods": [0.0] * (likelihoods or 0), "options": options, "reader": 1,
    }  # fmt: skip
    columns = [pa.repeat(pa.scalar(row[f.name], f.type), rows) for f in schema]
    with pq.ParquetWriter(path, schema, compression="zstd", store_schema=False) as writer:
        writer.write_table(pa.table(columns, schema=schema))
    return schema


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ({"rows": 100_001}, "more than 100,000 rows"),
        ({"rows": 10_000, "task": "t" * 1000}, "more than 5,000,000 bytes when it is decoded"),
        ({"rows": 2, "likelihoods": 3_000_000}, "more than 5,000,000 bytes when it is decoded"),
        ({"rows": 999, "options": ["o" * 999] * 9}, "more than 5,000,000 bytes when it is decoded"),
    ],
    ids=["rows", "a long name", "a long list", "long options"],
)
def test_a_small_file_that_stands_for_a_large_one(tmp_path, made, message):
    path = tmp_path / "predictions.parquet"
    schema = repeated(path, **made)
    assert path.stat().st_size < 100_000
    with pytest.raises(FileTooLarge, match=message):
        read_bounded(path, schema, max_rows=100_000, max_bytes=5_000_000)


def test_predictions_have_an_end(tmp_path, monkeypatch):
    path = tmp_path / "predictions.parquet"
    repeated(path, 11)
    monkeypatch.setattr(predictions, "read_bounded", partial(read_bounded, max_rows=10))
    with pytest.raises(GgezError, match=r"cannot be read as parquet: .* more than 10 rows"):
        read_predictions(path)


def test_nothing_measured_is_an_empty_file(tmp_path):
    write_predictions(tmp_path / "p", {})
    assert read_predictions(tmp_path / "p") == {}


def test_details_and_missing_questions_round_trip(tmp_path, grid):
    detailed = dataclasses.replace(
        grid[FIRST],
        missing=("gone",),
        predicted=(UNPARSED, *grid[FIRST].predicted[1:]),
        rank=np.concatenate([[3], grid[FIRST].rank[1:]]).astype(np.int32),
        correct=np.concatenate([[False], grid[FIRST].correct[1:]]),
        details=Details.of(
            50,
            images=[f"picture-{row // 5}" for row in range(50)],
            countries=["th"] * 25 + [None] * 25,
            raw=["well, perhaps"] + ["B"] * 49,
            log_likelihoods=[(-1.5, -0.25)] * 49 + [None],
            options=[("ข้าว", "rice")] * 49 + [None],
            readers=[2] * 49 + [None],
        ),
    )
    path = tmp_path / "p"
    write_predictions(path, grid | {FIRST: detailed})
    found = read_predictions(path)
    after = found[FIRST]
    assert after.missing == ("gone",)
    assert after.details == detailed.details
    assert after.items == detailed.items
    assert len(set(after.pictures)) == 10
    assert score_of(after).unparsed == 1
    assert score_of(after).missing == 1
    assert (score_of(after).n, score_of(after).pictures) == (50, 10)
    # The other cells record no more than before.
    other = found[Cell(0.0, "colours-th", "test")]
    assert other.details == Details.of(50)
    assert other.pictures == other.items


def test_an_unreadable_answer_cannot_be_right(tmp_path, grid):
    path = tmp_path / "p"
    write_predictions(path, grid)
    change(path, "predicted", 50 + int(np.flatnonzero(grid[sorted(grid)[1]].correct)[0]), "")
    with pytest.raises(GgezError, match="was unreadable and counts as right"):
        read_predictions(path)
