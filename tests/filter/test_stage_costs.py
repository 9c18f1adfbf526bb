"""The estimate of a filter follows from its rows, and from what is done with them."""

from __future__ import annotations

import tarfile

import pyarrow as pa
import pytest

from ggez_hub.data.plan import FilterPlan
from ggez_hub.data.sources import open_source
from ggez_hub.data.spec import SourceSpec
from ggez_hub.data.stage_costs import ASSUMED, cost_of

from .corpora import captions, jsonl, reward, spec, table

TEXTS = {"columns": {"id": "text", "examples": [{"format": "caption", "answer": "text"}]}}
PLAIN = {"pictures": "ignored", "duplicates": "keep"}


def texts(folder, rows=500, name="texts"):
    table(folder / f"{name}.parquet", {"text": (pa.string(), ["a boat"] * rows)}, 200)
    return {"name": name, "parquet": f"{name}.parquet", "license": "mit", **TEXTS}


def cost(folder, sources, **keys):
    return cost_of(FilterPlan(spec(sources, **(PLAIN | keys)), folder))


def test_hours_grow_with_the_rows(tmp_path):
    one = cost(tmp_path, [texts(tmp_path)])
    two = cost(tmp_path, [texts(tmp_path), texts(tmp_path, 1500, "more")])
    assert (one.rows, two.rows, two.is_counted) == (500, 2000, True)
    assert list(one.stages) == ["screening", "writing"]
    assert two.hours == pytest.approx(4 * one.hours)


def test_hours_grow_with_what_is_done(tmp_path):
    source, held = texts(tmp_path), texts(tmp_path, 20, "held")
    plain = cost(tmp_path, [source]).stages["screening"]
    rules = [{"evidence": "language", "languages": ["th"]}]
    for keys in (
        {"keep_region": {"keep": "any", "rules": rules}},
        {"duplicates": {"by": "text", "similarity": 0.9}},
        {"held_out": {"sources": [held]}},
    ):
        assert cost(tmp_path, [source], **keys).stages["screening"] > plain
    exact = {"by": "text", "similarity": 1.0}
    assert cost(tmp_path, [source], duplicates=exact).stages["screening"] == plain


def test_pictures_are_counted_where_they_are_read(tmp_path):
    source = captions(tmp_path, [("a", "Pho", "vn", 1), ("b", "Laap", "la", 2)])
    read, ignored = (cost(tmp_path, [source], pictures=p) for p in ("optional", "ignored"))
    assert read.rows == ignored.rows == 2
    assert read.hours > 10 * ignored.hours


def test_what_a_model_takes_is_not_known(tmp_path):
    scorer = reward(kind="clip_score", library="open_clip", model="lab/clip")
    found = cost(tmp_path, [texts(tmp_path)], reward=scorer)
    assert found.stages["keeping"] is None
    assert found.hours > 0


def test_without_a_number_of_rows_it_is_for_a_million(tmp_path):
    tar = {"name": "tar", "webdataset": "*.tar", "license": "mit",
           "columns": {"examples": [{"format": "caption", "answer": "txt"}]}}  # fmt: skip
    (tmp_path / "0.txt").write_text("a boat")
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        archive.add(tmp_path / "0.txt", "0.txt")
    found = cost(tmp_path, [texts(tmp_path), tar])
    assert (found.rows, found.is_counted) == (ASSUMED, False)


@pytest.mark.parametrize("rows", [0, 3, 4000])
def test_lines_are_estimated_by_the_first_ones(tmp_path, rows):
    jsonl(tmp_path / "a.jsonl", [{"text": f"number {n}"} for n in range(rows)])
    source = {"name": "a", "jsonl": "a.jsonl", "license": "mit", **TEXTS}
    found = open_source(SourceSpec.model_validate(source), tmp_path).row_count()
    assert found == pytest.approx(rows, rel=0.1)
