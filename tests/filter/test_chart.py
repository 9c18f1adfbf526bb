"""The picture of a report, whatever strangers call their columns."""

from __future__ import annotations

import re
import warnings
from collections import Counter

import pytest
from PIL import Image

from ggez_hub.data.report_pages import BARS, draw
from ggez_hub.data.tally import REST


def document(dropped=(), languages=()):
    by = {name: {} for name in ("source", "country", "language", "format", "category")}
    by["language"] = {
        tag: {"seen": count, "kept": count, "translated": 0} for tag, count in languages
    }
    reasons = {}
    for stage, reason, count in dropped:
        reasons.setdefault(stage, {})[reason] = count
    counts = {"seen": 9, "kept": 4, "translated": 0, "dropped": reasons}
    return {"region": "th", "counts": counts, "by": by}


@pytest.mark.parametrize(
    "found",
    [
        document(),
        document(
            dropped=[("row", "คำบรรยาย: wrong type", 3), ("row", f"{'long_' * 30}: empty", 2),
                     ("row", "$cost: empty", 1)],
            languages=[("th", 345_678), ("en", 1)],
        ),
    ],
    ids=["nothing", "odd names"],
)  # fmt: skip
def test_it_is_drawn_without_a_warning(tmp_path, found):
    """A letter that the font lacks would be a warning, and a box in the picture."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        png, svg = draw(found, tmp_path / "th-0.5")
    assert Image.open(png).size == (1540, 896)
    assert svg.name == "th-0.5.svg"


def words(svg):
    """The texts of an SVG: matplotlib writes each as a comment before its outlines."""
    return Counter(re.findall(r"<!-- (.*?) -->", svg.read_text(encoding="utf-8")))


def test_what_is_left_out_is_one_bar(tmp_path):
    languages = [(f"l{n}", 1000 - n) for n in range(BARS + 3)] + [(REST, 5000)]
    _, svg = draw(document(languages=languages), tmp_path / "report")
    said = words(svg)
    assert said[REST] == 1
    assert said[f"{5000 + sum(1000 - n for n in range(BARS, BARS + 3)):,}"] == 1
    assert said["examples"] == 1


def test_a_long_name_shows_both_its_ends(tmp_path):
    dropped = [("row", f"{'long_' * 30}: the answer is withheld", 2)]
    _, svg = draw(document(dropped=dropped), tmp_path / "report")
    assert any("row: long" in text and "…" in text and "withheld" in text for text in words(svg))
