"""The controls spoil what they say, and nothing else."""

from __future__ import annotations

import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from demo_world.control import blank_pictures, shuffle_names
from ggez_hub.demo.hub import ASSETS


@pytest.fixture
def part(tmp_path):
    """A part of the test pictures, some of which have no Filipino name."""
    table = pq.read_table(ASSETS / "emoji-names" / "data" / "test.parquet").slice(0, 300)
    pq.write_table(table, tmp_path / "test.parquet")
    return table, tmp_path / "test.parquet"


def test_names_are_shuffled_among_those_that_have_one(part):
    table, path = part
    shuffle_names(path, ["fil", "th"])
    spoilt = pq.read_table(path)
    for column in ("fil", "th"):
        names, others = table[column].to_pylist(), spoilt[column].to_pylist()
        assert [name is None for name in names] == [name is None for name in others]
        assert sorted(filter(None, names)) == sorted(filter(None, others))
        kept = sum(a == b for a, b in zip(names, others, strict=True) if a is not None)
        assert kept < 10
    assert table["fil"].null_count > 10
    assert spoilt.drop_columns(["fil", "th"]).equals(table.drop_columns(["fil", "th"]))


def test_blank_pictures_are_white_and_of_the_same_size(part):
    table, path = part
    blank_pictures(path)
    spoilt = pq.read_table(path)
    for row, was in zip(spoilt["image"].to_pylist(), table["image"].to_pylist(), strict=True):
        picture = Image.open(io.BytesIO(row["bytes"]))
        assert picture.size == Image.open(io.BytesIO(was["bytes"])).size
        assert np.asarray(picture.convert("RGB")).min() == 255
    assert spoilt.drop_columns(["image"]).equals(table.drop_columns(["image"]))
