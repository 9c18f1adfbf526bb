"""The committed data set: its schema, its counts, its size, and that its styles are held out."""

import io
from collections import Counter

import pyarrow.parquet as pq
import pytest
from PIL import Image

from demo_world.concepts import TRAINING_STYLES
from demo_world.emoji_names import COLUMNS, SPLITS
from ggez_hub.demo.hub import ASSETS

FOLDER = ASSETS / "emoji-names"
NAMES = list(COLUMNS.values())
MISSING = {"vi": 13, "ind": 99, "ms": 77, "fil": 374, "km": 5, "lo": 2}


@pytest.fixture(scope="module", params=SPLITS)
def split(request):
    return request.param, pq.read_table(FOLDER / "data" / f"{request.param}.parquet")


def test_both_files_are_small():
    assert sum(path.stat().st_size for path in FOLDER.rglob("*.parquet")) <= 3_000_000


def test_columns_and_counts(split):
    name, table = split
    assert table.column_names == ["id", "image", "style", "group", *NAMES]
    assert table.num_rows == len(set(table["id"].to_pylist())) == 1368
    assert set(table["style"].to_pylist()) == {SPLITS[name]}
    assert {
        language: table[language].null_count for language in NAMES if table[language].null_count
    } == MISSING
    assert min(Counter(table["group"].to_pylist()).values()) >= 4  # enough for a 4-way choice


def test_pictures_are_64_pixels(split):
    _, table = split
    for stored in table["image"].to_pylist()[::100]:
        picture = Image.open(io.BytesIO(stored["bytes"]))
        assert (picture.format, picture.size, picture.mode) == ("WEBP", (64, 64), "RGB")


def test_a_name_is_never_the_english_one(split):
    _, table = split
    for row in table.drop_columns(["image"]).to_pylist():
        assert all(
            row[language] is None or row[language].casefold() != row["en"].casefold()
            for language in NAMES[1:]
        )


def test_splits_share_concepts_and_no_style():
    tables = [pq.read_table(FOLDER / "data" / f"{name}.parquet") for name in SPLITS]
    assert tables[0]["id"] == tables[1]["id"]
    assert len({*SPLITS.values(), *TRAINING_STYLES}) == len(SPLITS) + len(TRAINING_STYLES)
    first, second = (set(map(str, table["image"].to_pylist())) for table in tables)
    assert not first & second


def test_datasets_reads_it(tmp_path):
    from datasets import load_dataset

    loaded = load_dataset(
        "parquet",
        data_files={"test": str(FOLDER / "data" / "test.parquet")},
        split="test",
        cache_dir=str(tmp_path),
    )
    assert loaded[0]["image"].size == (64, 64)
    assert loaded[0]["th"] == "หน้ายิ้มยิงฟัน"
