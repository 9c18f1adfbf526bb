"""Tar files, folders of pictures and large JSON lines, with what is broken in them."""

from __future__ import annotations

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ggez_hub.data.sources import BadSource, jsonl, open_source
from ggez_hub.data.sources.base import table_rows
from ggez_hub.data.sources.jsonl import byte_ranges, json_lines
from ggez_hub.data.spec import SourceSpec

from .corpora import CAPTIONS, encoded, picture, table
from .corpora import jsonl as write_jsonl

ALL = {"keep": "any", "rules": [{"evidence": "script", "scripts": ["Latn"], "share": 0.01}]}


def tar(path, members):
    with tarfile.open(path, "w") as file:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            file.addfile(info, io.BytesIO(content))
    return path


def run(filtered, **source):
    report, rows = filtered([{"name": "s", "license": "x"} | source], keep_region=ALL)
    dropped = report.document["counts"]["dropped"]
    return [(row["id"], row["text"], row["country"]) for row in rows], dropped


WEB = {"id": "__key__", "picture": "jpg", "country": "json.country",
       "examples": [{"format": "caption", "answer": "json.caption"}]}  # fmt: skip


def test_webdataset(tmp_path, filtered):
    def about(caption):
        return json.dumps({"caption": caption, "country": "Thailand"}).encode()

    members = []
    for number, told in enumerate([about("One"), about("Two"), b"{", about(5)]):
        members += [
            (f"a/{number}.jpg", encoded(picture(number), "JPEG")),
            (f"a/{number}.json", told),
        ]
    tar(tmp_path / "one.tar", members)
    whole = tar(
        tmp_path / "two.tar", [("b.jpg", encoded(picture(9), "JPEG")), ("b.json", about("Cut"))]
    )
    whole.write_bytes(whole.read_bytes()[:2000])
    rows, dropped = run(filtered, webdataset="*.tar", columns=WEB)
    assert rows == [("s/a/0/caption", "One", "th"), ("s/a/1/caption", "Two", "th")]
    assert dropped == {
        "row": {"json: broken file": 1, "json.caption: wrong type": 1, "tar: damaged": 1}
    }


def test_a_tar_without_the_column(tmp_path, filtered):
    tar(tmp_path / "one.tar", [("a.jpg", encoded(picture(1), "JPEG"))])
    with pytest.raises(BadSource, match=r"no column 'json.country'"):
        run(filtered, webdataset="*.tar", columns=WEB)


def folder_of_pictures(root):
    for number, label in enumerate(["market", "temple", "market"]):
        (root / label).mkdir(parents=True, exist_ok=True)
        (root / label / f"{number}.png").write_bytes(encoded(picture(number)))
    return root


def test_an_imagefolder_without_metadata(tmp_path, filtered):
    folder_of_pictures(tmp_path / "pictures")
    columns = {"picture": "image", "category": "label",
               "examples": [{"format": "caption", "answer": "label"}]}  # fmt: skip
    rows, _ = run(filtered, imagefolder="pictures", columns=columns)
    assert [row[:2] for row in rows] == [
        ("s/market/0.png/caption", "market"), ("s/market/2.png/caption", "market"),
        ("s/temple/1.png/caption", "temple"),
    ]  # fmt: skip


def test_a_picture_in_another_folder_is_another_input(tmp_path):
    columns = {"picture": "image", "examples": [{"format": "caption", "answer": "label"}]}
    asked = SourceSpec.model_validate(
        {"name": "s", "license": "x", "imagefolder": "pictures", "columns": columns}
    )
    root = folder_of_pictures(tmp_path / "pictures")
    before = open_source(asked, tmp_path).revision()
    assert open_source(asked, tmp_path).revision() == before
    (root / "market" / "0.png").rename(root / "temple" / "0.png")
    assert open_source(asked, tmp_path).revision() != before


@pytest.mark.parametrize("form", ["jsonl", "csv"])
def test_an_imagefolder_with_metadata(tmp_path, filtered, form):
    root = folder_of_pictures(tmp_path / "pictures")
    rows = [
        {"file_name": "market/0.png", "text": "Stalls", "country": "la"},
        {"file_name": "gone.png", "text": "Nothing", "country": "la"},
    ]
    if form == "jsonl":
        write_jsonl(root / "metadata.jsonl", [*rows, {"text": "x", "country": "la"}])
        broken = "metadata: file_name is missing"
    else:
        lines = ["file_name,text,country", *(",".join(row.values()) for row in rows), "one,two"]
        (root / "metadata.csv").write_text("\n".join(lines) + "\n")
        broken = "csv: another number of fields"
    columns = {key: CAPTIONS[key] for key in ("picture", "country", "examples")}
    found, dropped = run(filtered, imagefolder="pictures", columns=columns)
    assert [row[1:] for row in found] == [("Stalls", "la")]
    assert dropped == {"picture": {"the file is missing": 1}, "row": {broken: 1}}


def test_an_empty_folder(tmp_path, filtered):
    (tmp_path / "pictures").mkdir()
    with pytest.raises(BadSource, match="holds no pictures"):
        run(filtered, imagefolder="pictures", columns=CAPTIONS)
    with pytest.raises(BadSource, match="there is no folder"):
        run(filtered, imagefolder="absent", columns=CAPTIONS)


@pytest.mark.parametrize("size", [1, 7, 64, 1000])
def test_ranges_of_bytes_have_every_line_once(tmp_path, monkeypatch, size):
    monkeypatch.setattr(jsonl, "PART_BYTES", size)
    place = write_jsonl(tmp_path / "a.jsonl", [{"n": n, "text": "ก" * (n % 5)} for n in range(50)])
    place.write_bytes(place.read_bytes().rstrip(b"\n"))
    ranges = list(byte_ranges(place))
    found = [row["n"] for start, stop in ranges for _, row in json_lines(place, start, stop)]
    assert found == list(range(50))
    assert len(ranges) > 1 or size == 1000


def test_a_damaged_row_group_costs_its_rows_alone(tmp_path, filtered):
    texts = [f"Text number {n}" for n in range(20)]
    place = table(tmp_path / "a.parquet", {"text": (pa.string(), texts)}, row_group_size=10)
    chunk = pq.read_metadata(place).row_group(0).column(0)
    start = min(x for x in (chunk.dictionary_page_offset, chunk.data_page_offset) if x)
    content = bytearray(place.read_bytes())
    content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    place.write_bytes(content)
    columns = {"examples": [{"format": "caption", "answer": "text"}]}
    report, rows = filtered(
        [{"name": "s", "license": "x", "parquet": "a.parquet", "columns": columns}],
        keep_region=ALL, pictures="ignored", duplicates="keep",
    )  # fmt: skip
    assert [row["text"] for row in rows] == texts[10:]
    assert report.document["counts"]["dropped"] == {"row": {"parquet: damaged": 10}}


def test_a_text_that_is_stored_once_is_converted_once():
    broken = pa.array([b"Boats", b"\xff", b"Rice"], pa.binary()).view(pa.string())
    stored = pa.DictionaryArray.from_arrays(pa.array([2, 0, None, 1, 0], pa.int32()), broken)
    *others, last = table_rows(pa.record_batch({"text": stored, "number": pa.array(range(5))}))
    assert [*others[:3], last] == [
        {"text": text, "number": n} for n, text in ((0, "Rice"), (1, "Boats"), (2, None), (4, "Boats"))
    ]  # fmt: skip
    assert others[3].reason == "parquet: not UTF-8"
    first, second = table_rows(pa.record_batch({"text": stored}).take(pa.array([1, 4])))
    assert first["text"] is second["text"]
