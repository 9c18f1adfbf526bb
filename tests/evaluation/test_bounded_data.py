"""Data sets of strangers: a file that decodes to more than it may is refused, a large one is streamed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import partial

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders import rows
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
from ggez_hub.parquet import FileTooLarge, read_pieces

PICTURE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
LARGE = os.urandom(1000) * 200
BOMBS = {
    "texts": ({"x": "text"}, pa.array(["y" * 200_000] * 300)),
    "lists": ({"x": "texts"}, pa.array([["y" * 200_000] * 30] * 10)),
    "pictures": ({"x": "image"}, pa.array([{"bytes": LARGE, "path": "a"}] * 300, PICTURE)),
    "paths": ({"x": "image"}, pa.array([{"bytes": b"b", "path": "y" * 200_000}] * 300, PICTURE)),
}


def written(path, column, **options):
    pq.write_table(pa.table({"x": column}), path, compression="zstd", **options)
    return path


@pytest.mark.parametrize("name", BOMBS)
@pytest.mark.parametrize("dictionary", [True, False])
def test_a_file_that_decodes_to_too_much(name, dictionary, tmp_path, monkeypatch):
    columns, column = BOMBS[name]
    path = written(
        tmp_path / "b.parquet", column, use_dictionary=dictionary, dictionary_pagesize_limit=1 << 30
    )
    assert path.stat().st_size < 100_000
    assert len(list(read_rows(path, columns))) == len(column)
    monkeypatch.setattr(rows, "read_pieces", partial(read_pieces, max_bytes=10_000_000))
    with pytest.raises(GgezError, match=r"more than 10,000,000 bytes when it is decoded"):
        list(read_rows(path, columns))


def test_little_of_it_is_decoded_before_it_is_refused(tmp_path):
    _, column = BOMBS["pictures"]
    path = written(tmp_path / "b.parquet", column, dictionary_pagesize_limit=1 << 30)
    del column
    before = pa.total_allocated_bytes()
    pieces = read_pieces(path, ["x"], max_bytes=10_000_000, at_a_time=1_000_000)
    read, most = 0, 0
    with pytest.raises(FileTooLarge):  # noqa: PT012 - it is refused while it is read
        for piece in pieces:
            read += len(piece)
            most = max(most, pa.total_allocated_bytes() - before)
    assert 40 <= read < 60
    assert most < 5_000_000


def test_more_rows_than_any_data_set_has(tmp_path):
    path = written(tmp_path / "b.parquet", pa.nulls(3_000_000, pa.string()))
    assert path.stat().st_size < 10_000
    with pytest.raises(FileTooLarge, match="more than 1,000,000 rows"):
        list(read_pieces(path, ["x"], max_rows=1_000_000))


def test_a_large_file_may_come_to_more(tmp_path):
    pictures = [{"bytes": os.urandom(50_000), "path": None} for _ in range(40)]
    path = written(tmp_path / "large.parquet", pa.array(pictures, PICTURE), row_group_size=10)
    read = [row["x"] for piece in read_pieces(path, ["x"], max_bytes=100_000) for row in piece]
    assert read == pictures


def test_lists_whose_dictionary_ends_within_a_batch(tmp_path):
    lists = [[f"{number} of many texts that differ", "a", "b"] for number in range(60_000)]
    path = written(tmp_path / "lists.parquet", pa.array(lists))
    assert "PLAIN" in pq.ParquetFile(path).metadata.row_group(0).column(0).encodings
    assert [row["x"] for piece in read_pieces(path, ["x"]) for row in piece] == lists


MEASURE = """
import json, sys
import pyarrow as pa
from pathlib import Path
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
count = sum(len(row["x"]["bytes"]) for row in read_rows(Path(sys.argv[1]), {"x": "image"}))
print(json.dumps([count, pa.default_memory_pool().max_memory()]))
"""


def test_memory_does_not_grow_with_the_file(tmp_path):
    found = []
    for groups in (4, 20):
        path = tmp_path / f"{groups}.parquet"
        with pq.ParquetWriter(path, pa.schema([("x", PICTURE)])) as writer:
            for _ in range(groups):
                pictures = [{"bytes": os.urandom(100_000), "path": "a.jpg"} for _ in range(20)]
                writer.write_table(pa.table({"x": pa.array(pictures, PICTURE)}))
        ended = subprocess.run(
            [sys.executable, "-c", MEASURE, path], capture_output=True, text=True, check=True
        )
        count, most = json.loads(ended.stdout)
        assert count == groups * 2_000_000
        found.append(most)
    small, large = found
    assert large < 1.3 * small < 30_000_000
