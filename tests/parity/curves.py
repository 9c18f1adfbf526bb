"""Curves of made-up rows."""

from __future__ import annotations

from ggez_hub.cards import CurveRow
from ggez_hub.cards.curve import MeasuredCurve

DIGEST = "0" * 64


def row(score, side, *, se=1.0, n=400, floor=0.0, metric="r1", by="registry", countries=None):
    return CurveRow(
        score=score, n=n, se=se, floor=floor, metric=metric, split="validation", side=side,
        by_country=countries or {}, measured_by=by, evaluator="x", model=DIGEST, task=DIGEST,
        predictions="unknown",
    )  # fmt: skip


def rows(points, **options):
    """beta -> (global, regional) as rows of one task a side."""
    return {
        beta: {"g": row(world, "global", **options), "r": row(region, "regional", **options)}
        for beta, (world, region) in points.items()
    }


def measured(points, region="th", parity="independent", **options):
    """A curve of scores, or of rows that are given as they are."""
    made = all(isinstance(value, tuple) for value in points.values())
    return MeasuredCurve(rows(points, **options) if made else points, parity, region)
