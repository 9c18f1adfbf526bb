"""Reading a split: names may be missing, anything else names its column."""

from __future__ import annotations

import pyarrow as pa
import pytest

from ggez_hub.errors import GgezError, MissingExtra
from ggez_hub.evaluation.benchmarks.task_questions import read_items
from ggez_hub.extras import require
from tests.evaluation.conftest import SCHEMA, colour_rows, make_task, write_rows

TASK = make_task()


def test_a_row_without_a_name_keeps_its_picture(dataset):
    items = read_items(dataset / "data" / "validation.parquet", TASK)
    assert len(items) == 12
    assert (items[8].id, items[8].captions) == ("c08", ())
    assert {item.category for item in items} == {"warm", "cold"}


def test_what_the_datasets_library_writes_is_read(tmp_path):
    from datasets import Dataset, Features, Image, Value

    text = Value("string")
    features = Features(
        {"id": text, "image": Image(), "style": text, "group": text, "en": text, "th": text}
    )
    path = tmp_path / "split.parquet"
    Dataset.from_list(colour_rows(), features=features).to_parquet(path)
    assert read_items(path, TASK)[0].picture == colour_rows()[0]["image"]["bytes"]


def without(name):
    return [{k: v for k, v in row.items() if k != name} for row in colour_rows()], pa.schema(
        [field for field in SCHEMA if field.name != name]
    )


@pytest.mark.parametrize("name", ["id", "image", "group", "th"])
def test_a_missing_column_is_named(tmp_path, name):
    path = write_rows(tmp_path / "split.parquet", *without(name))
    with pytest.raises(GgezError, match=f"has no column '{name}'"):
        read_items(path, TASK)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("id", None, "column 'id' holds null, it should be text that is not blank in row 3"),
        ("id", "c00", "column 'id' is 'c00', as in a row before, in row 3"),
        ("group", None, "column 'group' holds null, it should be text that is not blank in row 3"),
        (
            "th",
            "  ",
            r"column 'th' holds '  ' .* it should be text that is not blank or null in row 3",
        ),
        ("image", None, "column 'image' holds null, it should be a picture"),
        ("image", {"bytes": None, "path": "x.png"}, "column 'image' holds no picture in row 3"),
    ],
)
def test_a_wrong_value_is_named_with_its_row(tmp_path, name, value, message):
    rows = colour_rows()
    rows[3][name] = value
    path = write_rows(tmp_path / "split.parquet", rows)
    with pytest.raises(GgezError, match=message):
        read_items(path, TASK)


def test_a_wrong_type_is_named(tmp_path):
    rows = [{**row, "th": 1} for row in colour_rows()]
    schema = SCHEMA.set(SCHEMA.get_field_index("th"), pa.field("th", pa.int64()))
    with pytest.raises(GgezError, match=r"column 'th' holds 1 \(int\), it should be text"):
        read_items(write_rows(tmp_path / "a.parquet", rows, schema), TASK)
    rows = [{**row, "image": b"png"} for row in colour_rows()]
    schema = SCHEMA.set(SCHEMA.get_field_index("image"), pa.field("image", pa.binary()))
    with pytest.raises(GgezError, match=r"column 'image' holds .*, it should be a picture: struct"):
        read_items(write_rows(tmp_path / "b.parquet", rows, schema), TASK)


def test_a_file_that_is_no_parquet_is_reported(tmp_path):
    path = tmp_path / "split.parquet"
    path.write_text("id,image")
    with pytest.raises(GgezError, match="cannot be read"):
        read_items(path, TASK)
    with pytest.raises(GgezError, match="cannot be read"):
        read_items(tmp_path / "absent.parquet", TASK)
    with pytest.raises(GgezError, match="has no rows"):
        read_items(write_rows(tmp_path / "empty.parquet", []), TASK)


def test_a_missing_library_says_how_to_get_it(monkeypatch, dataset):
    require.cache_clear()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingExtra) as caught:
        read_items(dataset / "data" / "test.parquet", TASK)
    assert caught.value.hint == "pip install 'ggez-hub[eval]'"
