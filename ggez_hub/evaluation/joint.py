"""The trade-off that predictions show, with errors that know which questions share a picture.

A card's curve has one error for each task: `trade` has to take tasks as independent. Tasks that ask
about the same pictures are not, and where the answers are there it can be known what they share.
"""

from __future__ import annotations

import math
from dataclasses import replace

from ggez_hub.evaluation.choosing import sides_by_beta
from ggez_hub.evaluation.comparison import Sides, mean, parity
from ggez_hub.evaluation.curve import curve_of
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.selection import Split, trade
from ggez_hub.evaluation.trade_off import Point, Side, Trade


def joint_trade(evidence: Evidence, split: Split) -> Trade:
    """The trade-off on a split at the alpha of the evidence; raises NoCurve and NotComparable."""
    header, alpha = evidence.header, evidence.header.alpha.value
    seen = trade(curve_of(evidence), split, alpha, header.region, header.region)
    by_beta = sides_by_beta(evidence, (split,), seen.metric, seen.at_chance)
    points = tuple(_joint(point, by_beta[point.beta], alpha) for point in seen.points)
    return replace(seen, points=points)


def _joint(point: Point, sides: Sides, alpha: float) -> Point:
    world, regional, both = (parity(sides, a).se ** 2 for a in (1.0, 0.0, 0.5))
    return replace(
        point,
        q_global=_side(point.q_global, sides.global_tasks, world),
        q_regional=_side(point.q_regional, sides.regional_tasks, regional),
        se=parity(sides, alpha).se,
        # Var((X + Y) / 2) = (Var X + Var Y + 2 Cov) / 4
        covariance=2 * both - (world + regional) / 2,
    )


def _side(side: Side, tasks: tuple[Outcomes, ...], variance: float) -> Side:
    return replace(side, se=mean(tasks).se, se_normalised=math.sqrt(variance))
