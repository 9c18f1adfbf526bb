"""Ready mappings, on fixtures in exactly the schemas of the real corpora, traps included."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ggez_hub.data.locale_fields import country_code, country_in_path, language_tag
from ggez_hub.data.sources import BadSource

from . import corpora

ALL = {"keep": "any", "rules": [{"evidence": "script", "scripts": ["Latn", "Thai", "Hani"], "share": 0.01}]}  # fmt: skip


def source(mapping, **place):
    return {"name": "s", "mapping": mapping, "license": "cc-by-sa-4.0", **place}


def everything(filtered, mapping, **place):
    """All examples of a source, by their ids, and what was dropped."""
    report, rows = filtered(
        [source(mapping, **place)], keep_region=ALL, pictures="ignored", duplicates="keep"
    )
    return {row["id"]: row for row in rows}, report.document["counts"]["dropped"]


def test_sea_vl_crowdsourcing(tmp_path, filtered):
    corpora.sea_vl_crowdsourcing(tmp_path / "a.parquet")
    rows, _ = everything(filtered, "sea-vl-crowdsourcing", parquet="a.parquet")
    assert [(r["language"], r["country"]) for r in rows.values()] == [
        ("en", "th"), ("th", "th"), ("en", "vn"), ("vi", "vn"), ("en", "es"), ("es", "es"),
    ]  # fmt: skip
    assert rows["s/b/native"]["text"] == "Cánh đồng lúa nước"
    assert {s["name"]: s["value"] for s in rows["s/a/en"]["scores"]} == {
        "cultural_relevance": 4.5, "caption_fit": 4.0, "image_quality": 4.0,
    }  # fmt: skip
    assert {s["name"] for s in rows["s/c/en"]["scores"]} == {"cultural_relevance", "caption_fit"}


def test_sea_vl_crawling(tmp_path, filtered):
    corpora.sea_vl_crawling(tmp_path / "a.parquet")
    rows, dropped = everything(filtered, "sea-vl-crawling", parquet="a.parquet")
    assert [row["text"] for row in rows.values()] == [
        "A street in Bangkok, Thailand", "A river in Laos", "A long boat",
    ]  # fmt: skip
    assert rows["s/0-1/caption-1"]["category"] == "landscape"
    assert dropped == {"row": {"caption: empty": 1}}


def test_cultural_ground_takes_the_country_from_the_path(tmp_path, filtered):
    corpora.cultural_ground(tmp_path / "cg")
    rows, _ = everything(filtered, "cultural-ground", jsonl="cg/*.jsonl")
    assert [(r["language"], r["country"]) for r in rows.values()] == [
        ("vi", "vn"), ("vi", "fr"), ("en", "th"),
    ]  # fmt: skip
    assert rows["s/cg-0/chat"]["messages"] == [
        {"role": "user", "content": "Đây là món gì?"},
        {"role": "assistant", "content": "Đây là phở bò."},
    ]


def test_cvqa(tmp_path, filtered):
    corpora.cvqa(tmp_path / "a.parquet")
    rows, dropped = everything(filtered, "cvqa", parquet="a.parquet")
    assert [(r["id"], r["language"], r["country"]) for r in rows.values()] == [
        ("s/q1/local", "fil", "ph"), ("s/q1/en", "en", "ph"),
        ("s/q2/local", "jv", "id"), ("s/q2/en", "en", "id"),
    ]  # fmt: skip
    asked, answer = rows["s/q1/local"]["messages"]
    assert asked["content"].endswith("A. aso\nB. pusa\nC. jeepney\nD. bahay")
    assert answer["content"] == "C. jeepney"
    assert dropped == {"row": {"Label: the answer is withheld": 2}}


def test_world_cuisines(tmp_path, filtered):
    corpora.world_cuisines(tmp_path / "a.parquet", answers=(5, 1, 0))
    rows, dropped = everything(filtered, "world-cuisines", parquet="a.parquet")
    chosen = {r["id"]: r["messages"][1]["content"] for r in rows.values() if "choice" in r["id"]}
    assert chosen == {"s/w1/multiple_choice": "5", "s/w2/multiple_choice": "1"}
    assert dropped == {"row": {"multi_choice_answer: out of range": 1}}
    # Min Nan is a language, not a missing number.
    assert [rows[f"s/w{n}/open_ended"]["language"] for n in (1, 2, 3)] == ["id", "nan", "zh"]


def test_world_cuisines_11_counts_from_zero(tmp_path, filtered):
    corpora.world_cuisines_11(tmp_path / "a.parquet")
    rows, _ = everything(filtered, "world-cuisines-1.1", parquet="a.parquet")
    (row,) = rows.values()
    assert row["messages"][1]["content"] == "A. pho"


@pytest.mark.parametrize(
    ("corpus", "mapping", "column"),
    [
        (corpora.sea_vl_crowdsourcing, "sea-vl-crowdsourcing", "native_lang"),
        (corpora.sea_vl_crawling, "sea-vl-crawling", "caption"),
        (corpora.cvqa, "cvqa", "Options"),
        (corpora.world_cuisines, "world-cuisines", "multi_choice_answer"),
    ],
)
@pytest.mark.parametrize("change", ["absent", "another type"])
def test_a_column_that_is_off_is_named(tmp_path, filtered, corpus, mapping, column, change):
    table = pq.read_table(corpus(tmp_path / "a.parquet"))
    place = table.schema.get_field_index(column)
    table = (
        table.remove_column(place)
        if change == "absent"
        else table.set_column(place, column, pa.array([{"x": 1}] * len(table)))
    )
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(BadSource, match=f"column '{column}'"):
        filtered([source(mapping, parquet="a.parquet")])


@pytest.mark.parametrize(
    ("text", "language"),
    [("Thai (tha)", "th"), ("('Filipino', 'Philippines')", "fil"), ("tl", "fil"), ("nan", "nan"),
     ("id_formal", "id"), ("zh-Hant", "zh-Hant"), ("Burmese", "my"), ("vi", "vi"), ("??", None),
     ("('a', 'b', 'c')", None), ("(" * 500, None)],
)  # fmt: skip
def test_languages(text, language):
    assert language_tag(text) == language


@pytest.mark.parametrize(
    ("text", "country"),
    [("Hoi An, Vietnam", "vn"), ("Viet_Nam", "vn"), ("('Sinhala', 'Sri_Lanka')", "lk"),
     ("ไทย", "th"), ("vi", "vi"), ("Southeast Asia", None), ("nowhere", None)],
)  # fmt: skip
def test_countries(text, country):
    assert country_code(text) == country


def test_a_country_is_a_folder_of_the_path_not_its_file():
    assert country_in_path("CultureGroundImages/South_Korea/1.jpg") == "kr"
    assert country_in_path("images/vietnam.jpg") is None
    # A code of two letters may be anything.
    assert country_in_path("la/th/1.jpg") is None
