"""The picture of a card's curve, which is published beside its evidence."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ggez_hub.errors import MissingExtra
from ggez_hub.evaluation.betas import single
from ggez_hub.evaluation.plot import Interval, Labels, Point, draw
from ggez_hub.evaluation.selection import Curve, NoCurve, trade
from ggez_hub.evaluation.trade_off import Side
from ggez_hub.regions import find_region

PICTURE = "evidence/trade-off.png"


def curve_picture(
    curve: Curve, alpha: float, region: str, card_region: str, beta: float | None
) -> bytes | None:
    """A PNG of the trade-off on the test side, with `beta` marked; the same curve gives the same bytes.

    None where the curve shows no trade-off there, or matplotlib is not installed: a picture is worth
    no failed publication.
    """
    try:
        seen = trade(curve, "test", alpha, region, card_region)
    except NoCurve:
        return None
    labels = Labels(
        title=f"{find_region(seen.region).name}: the region against the world",
        global_side=f"global side, {seen.metric}",
        regional_side=f"regional side, {seen.metric}",
        alpha=alpha,
    )
    points = [
        Point(single(p.beta), _of(p.q_global), _of(p.q_regional), Interval(p.grp, *p.interval))
        for p in seen.points
    ]
    chosen = beta if beta is not None and seen.at(beta) else None
    with tempfile.TemporaryDirectory() as folder:
        try:
            picture, _ = draw(points, Path(folder, "picture"), labels, chosen)
        except MissingExtra:
            return None
        return picture.read_bytes()


def _of(side: Side) -> Interval:
    return Interval(side.score, *side.interval)
