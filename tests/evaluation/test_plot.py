"""The picture: the same bytes, and no wrong marks."""

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


def drawn(folder, points=POINTS, chosen=None):
    draw(points, folder / "picture.png", LABELS, chosen)
    return folder / "picture.png"


def test_a_png_is_written(tmp_path):
    assert Image.open(drawn(tmp_path, chosen=0.9)).size[0] > 1200
    assert [path.name for path in tmp_path.iterdir()] == ["picture.png"]


def test_the_same_points_give_the_same_bytes(tmp_path):
    first = drawn(tmp_path).read_bytes()
    assert drawn(tmp_path, POINTS[::-1]).read_bytes() == first


@pytest.mark.parametrize("chosen", [None, 0.0, 1.0])
def test_a_choice_may_be_missing_or_coincide_with_a_mark(tmp_path, chosen):
    assert drawn(tmp_path, chosen=chosen).stat().st_size > 1000


def test_a_grid_may_lack_base_and_adapter(tmp_path):
    assert drawn(tmp_path, POINTS[3:5], 0.3).stat().st_size > 1000


def test_wrong_points_are_refused(tmp_path):
    with pytest.raises(UsageProblem, match="no points"):
        drawn(tmp_path, [])
    with pytest.raises(UsageProblem, match=r"chosen beta 0\.55 is not a point"):
        drawn(tmp_path, chosen=0.55)
