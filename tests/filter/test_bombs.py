"""Small files that stand for gigabytes, and links to what is not in them: each costs its own rows."""

from __future__ import annotations

import gzip
import io
import json
import os
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ggez_hub import parquet, text_files
from ggez_hub.contained_files import UnsafeFile
from ggez_hub.data.sources import archives, jsonl
from ggez_hub.data.sources.base import BadSource
from ggez_hub.data.sources.jsonl import byte_ranges, json_lines, rows_of_file
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.loaders.rows import read_rows
from ggez_hub.images import BadPicture, needs_rotation, on_white, to_rgb

from .corpora import encoded, picture
from .corpora import jsonl as write_jsonl
from .test_hostile import ANY, CAPTION, bomb, source

TAR = {"examples": [{"format": "caption", "answer": "txt"}]} | {"picture": "jpg"}


def packed(path, members, tail=b""):
    """A tar.gz of texts and pictures by name, and raw bytes of a tar behind them."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        end = tar.offset
    path.write_bytes(gzip.compress(plain.getvalue()[:end] + tail, 9))
    return path


def header(kind, size):
    info = tarfile.TarInfo("x")
    info.type, info.size = kind, size
    return info.tobuf(tarfile.USTAR_FORMAT)


FIRST = {"a.jpg": encoded(picture(1), "JPEG"), "a.txt": b"Boats", "b.txt": b"x"}


def test_an_archive_that_decodes_to_too_much(tmp_path, filtered, monkeypatch):
    monkeypatch.setattr(archives, "LEAST", 1 << 20)
    packed(tmp_path / "a.tar.gz", FIRST | {f"c{n}.bin": bytes(1 << 20) for n in range(40)})
    report, rows = filtered([source(TAR, webdataset="a.tar.gz")], keep_region=ANY)
    assert [row["text"] for row in rows] == ["Boats"]
    assert report.document["counts"]["dropped"]["row"]["tar: damaged"] == 1


@pytest.mark.parametrize(
    "kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK]
)
def test_a_header_that_fills_the_memory_is_not_read(tmp_path, filtered, monkeypatch, kind):
    read = []
    known = tarfile.TarInfo._block
    monkeypatch.setattr(tarfile.TarInfo, "_block", lambda i, n: read.append(n) or known(i, n))
    packed(tmp_path / "a.tar.gz", FIRST, header(kind, 1 << 25) + bytes(1 << 25))
    report, rows = filtered([source(TAR, webdataset="a.tar.gz")], keep_region=ANY)
    assert [row["text"] for row in rows] == ["Boats"]
    assert report.document["counts"]["dropped"]["row"]["tar: damaged"] == 1
    assert max(read) <= archives.LARGEST_HEADER


def test_a_file_with_holes_and_a_row_of_many_files(tmp_path, filtered, monkeypatch):
    from ggez_hub.data.sources import webdataset

    monkeypatch.setattr(webdataset, "LARGEST_MEMBER", 100_000)
    sparse = tarfile.TarInfo("c.txt")
    sparse.pax_headers = {
        "GNU.sparse.map": "0,1",
        "GNU.sparse.size": "50",
        "GNU.sparse.numblocks": "1",
    }
    sparse.size = 1
    hole = sparse.tobuf(tarfile.PAX_FORMAT) + b"x" + bytes(511)
    many = {f"b.{n}": bytes(40_000) for n in range(3)}
    packed(tmp_path / "a.tar.gz", {k: FIRST[k] for k in ("a.jpg", "a.txt")} | many, hole)
    report, rows = filtered([source(TAR, webdataset="a.tar.gz")], keep_region=ANY)
    assert [row["text"] for row in rows] == ["Boats"]
    reasons = report.document["counts"]["dropped"]["row"]
    assert reasons == {"tar: the row is too large": 1, "tar: the file is too large": 1}


def test_a_line_without_end_is_not_held(tmp_path, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1000)
    monkeypatch.setattr(jsonl, "PART_BYTES", 500)
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 1}\n{"a": "%s"}\n{"a": 2}\n' % ("x" * 100_000))
    largest = []

    class File(io.FileIO):
        def readline(self, size=-1):
            line = super().readline(size)
            largest.append(len(line))
            return line

    monkeypatch.setattr(type(path), "open", lambda self, mode: File(self, "r"))
    found = [v for start, stop in byte_ranges(path) for _, v in json_lines(path, start, stop)]
    assert [v if isinstance(v, dict) else v.reason for v in found] == [
        {"a": 1}, "json: the line is too long", {"a": 2},
    ]  # fmt: skip
    assert max(largest) <= 1000


def test_a_csv_without_lines_is_not_held(tmp_path, filtered, monkeypatch):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1000)
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.png").write_bytes(encoded(picture(1)))
    lines = ["file_name,text", "a.png,One", "a.png," + "x" * 200_000]
    (tmp_path / "f" / "metadata.csv").write_text("\n".join(lines))
    columns = CAPTION | {"picture": "image"}
    report, rows = filtered([source(columns, imagefolder="f")], keep_region=ANY)
    assert rows[0]["text"] == "One"
    assert report.document["counts"]["dropped"]["row"]["csv: another number of fields"] > 1


def repeated(path, rows, size):
    """A text of `size` letters in so many rows, written once."""
    values = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), ["a" * size])
    pq.write_table(pa.table({"text": values}), path)
    assert path.stat().st_size < size * 2 + 10_000
    return path


def test_parquet_that_decodes_to_too_much(tmp_path, filtered, monkeypatch):
    from ggez_hub.data.sources import parquet as reader

    repeated(tmp_path / "a.parquet", 300, 100_000)
    monkeypatch.setattr(text_files, "MAX_BYTES", 4_000_000)
    with pytest.raises(BadSource, match="more than 4,"):
        list(rows_of_file(tmp_path / "a.parquet"))
    known = parquet.read_batches
    limited = lambda *a, **k: known(*a, **k, max_bytes=4_000_000)  # noqa: E731
    monkeypatch.setattr(reader, "read_batches", limited)
    report, rows = filtered([source(parquet="a.parquet")], pictures="ignored", keep_region=ANY)
    assert rows == []
    assert report.document["counts"]["dropped"]["row"] == {"parquet: too large": 300}


def test_parquet_of_more_rows_than_any_file_has(tmp_path, filtered, monkeypatch):
    from ggez_hub.data.sources import parquet as reader

    monkeypatch.setattr(reader, "MAX_ROWS", 100)
    repeated(tmp_path / "a.parquet", 101, 10)
    with pytest.raises(BadSource, match="more than 100 rows"):
        filtered([source(parquet="a.parquet")], pictures="ignored", keep_region=ANY)


@pytest.mark.parametrize("read", [to_rgb, on_white, needs_rotation])
@pytest.mark.parametrize("kind", ["large", "EPS", "BMP", "TIFF", "text"])
def test_training_and_evaluation_read_pictures_alike(kind, read):
    content = {
        "large": bomb(12_000),
        "EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        "text": b"x",
    }.get(kind) or encoded(picture(1), kind)
    with pytest.raises(BadPicture, match="too large" if kind == "large" else "damaged"):
        read(content)


@pytest.mark.parametrize("place", ["jsonl", "imagefolder", "folder"])
def test_links_lead_nowhere(tmp_path, filtered, place):
    """A data set that somebody packed, with a link to what is on this machine."""
    private = write_jsonl(
        tmp_path / "private" / "metadata.jsonl", [{"text": "s", "file_name": "a"}]
    )
    (tmp_path / "f").mkdir()
    if place == "folder":
        (tmp_path / "f" / "more").symlink_to(private.parent)
    else:
        (tmp_path / "f" / "metadata.jsonl").symlink_to(private)
    where = {"imagefolder": "f"} if place == "imagefolder" else {"jsonl": "f/**/*.jsonl"}
    with pytest.raises(UnsafeFile, match="leads out"):
        filtered([source(**where)], pictures="ignored", keep_region=ANY)


def test_links_of_the_cache_are_followed(tmp_path, filtered):
    content = tmp_path / "datasets--a--b" / "blobs" / ("0" * 64)
    content.parent.mkdir(parents=True)
    content.write_text(json.dumps({"text": "One"}) + "\n")
    snapshot = tmp_path / "datasets--a--b" / "snapshots" / ("1" * 40)
    snapshot.mkdir(parents=True)
    (snapshot / "a.jsonl").symlink_to(os.path.relpath(content, snapshot))
    _, rows = filtered([source(jsonl=f"{snapshot}/*.jsonl")], pictures="ignored", keep_region=ANY)
    assert [row["text"] for row in rows] == ["One"]


@pytest.mark.parametrize("suffix", ["jsonl", "csv"])
def test_evaluation_holds_no_line_without_end(tmp_path, monkeypatch, suffix):
    monkeypatch.setattr(text_files, "LONGEST_LINE", 1000)
    path = tmp_path / f"a.{suffix}"
    long = "x" * 200_000
    path.write_text(json.dumps({"a": long}) if suffix == "jsonl" else f"a,b\n{long},1\n")
    with pytest.raises(
        GgezError, match=r"cannot be read: (line 1 has more|field larger)|column 'b'"
    ):
        list(read_rows(path, {"a": "text", "b": "text"}))


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_byte_order_mark_is_no_part_of_a_column(tmp_path, filtered, encoding):
    """Excel begins a file with one."""
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "a.png").write_bytes(encoded(picture(1)))
    text = "file_name,text\na.png,One\n"
    (tmp_path / "f" / "metadata.csv").write_text(text, encoding=encoding)
    table = tmp_path / "a.csv"
    table.write_text(text, encoding=encoding)
    columns = CAPTION | {"picture": "image"}
    if encoding == "utf-8-sig":
        _, rows = filtered([source(columns, imagefolder="f")], keep_region=ANY)
        assert [row["text"] for row in rows] == ["One"]
        assert [row["text"] for row in read_rows(table, {"file_name": "text", "text": "text"})]
    else:
        with pytest.raises(GgezError, match="no column file_name"):
            filtered([source(columns, imagefolder="f")], keep_region=ANY)
        with pytest.raises(GgezError, match="cannot be read"):
            list(read_rows(table, {"text": "text"}))
