"""The picture of a card's curve, which is published beside its evidence."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ggez_hub.cards.curve import MeasuredCurve
from ggez_hub.errors import MissingExtra
from ggez_hub.evaluation.plot import Interval, Labels, Point, draw
from ggez_hub.parity.betas import single
from ggez_hub.parity.curve import GLOBAL, REGIONAL, ParityCurve
from ggez_hub.parity.effects import grp_interval, side_interval
from ggez_hub.parity.intervals import Interval as Found
from ggez_hub.parity.rows import NoCurve
from ggez_hub.regions import find_region

PICTURE = "evidence/trade-off.png"


def curve_picture(
    measured: MeasuredCurve | None, alpha: float, region: str, beta: float | None
) -> bytes | None:
    """A PNG of the trade-off on the test side, with `beta` marked; the same curve gives the same bytes.

    None where the curve shows no trade-off there, or matplotlib is not installed: a picture is worth
    no failed publication.
    """
    try:
        curve = ParityCurve.of(measured, "test", region)
    except NoCurve:
        return None
    labels = Labels(
        title=f"{find_region(curve.region).name}: the region against the world",
        global_side=f"global side, {curve.scale}",
        regional_side=f"regional side, {curve.scale}",
        alpha=alpha,
    )
    points = [
        Point(
            single(point),
            _of(side_interval(curve, GLOBAL, index)),
            _of(side_interval(curve, REGIONAL, index)),
            _of(grp_interval(curve, index, alpha)),
        )
        for index, point in enumerate(curve.betas)
    ]
    chosen = beta if beta is not None and curve.index(beta) is not None else None
    with tempfile.TemporaryDirectory() as folder:
        try:
            picture, _ = draw(points, Path(folder, "picture"), labels, chosen)
        except MissingExtra:
            return None
        return picture.read_bytes()


def _of(found: Found | None) -> Interval:
    assert found is not None  # noqa: S101 - both sides of a curve have items
    return Interval(found.value, found.low, found.high)
