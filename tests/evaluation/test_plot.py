"""The picture: both files, the same bytes, and no wrong marks."""

from __future__ import annotations

import pytest
from PIL import Image

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.report.trade_off import Labels, Point, draw
from ggez_hub.parity.intervals import Interval

LABELS = Labels("Colours", "English names", "Thai names", 0.374)


def around(score):
    return Interval(score, 1, score - 2, score + 2, 100)


POINTS = [
    Point(step / 10, around(40 - step), around(10 + 2 * step), around(-1 + step))
    for step in range(13)
]


def test_a_png_and_an_svg_are_written(tmp_path):
    png, svg = draw(POINTS, tmp_path / "th-0.5", LABELS, chosen=0.9)
    assert (png.name, svg.name) == ("th-0.5.png", "th-0.5.svg")
    assert Image.open(png).size[0] > 1200
    assert svg.read_text().startswith("<?xml")


def test_the_same_points_give_the_same_bytes(tmp_path):
    first = draw(POINTS, tmp_path / "a", LABELS, chosen=None)
    second = draw(POINTS[::-1], tmp_path / "b", LABELS, chosen=None)
    assert [p.read_bytes() for p in first] == [p.read_bytes() for p in second]


@pytest.mark.parametrize("chosen", [None, 0.0, 1.0])
def test_a_choice_may_be_missing_or_coincide_with_a_mark(tmp_path, chosen):
    assert all(path.stat().st_size > 1000 for path in draw(POINTS, tmp_path / "a", LABELS, chosen))


def test_a_grid_may_lack_base_and_adapter(tmp_path):
    drawn = draw(POINTS[3:5], tmp_path / "a", LABELS, chosen=0.3)
    assert all(path.stat().st_size > 1000 for path in drawn)


def test_wrong_points_are_refused(tmp_path):
    with pytest.raises(UsageProblem, match="no points"):
        draw([], tmp_path / "a", LABELS, None)
    with pytest.raises(UsageProblem, match=r"chosen beta 0\.55 is not a point"):
        draw(POINTS, tmp_path / "a", LABELS, 0.55)
