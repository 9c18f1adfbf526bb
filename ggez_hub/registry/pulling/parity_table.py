"""The table of a pull: base, merged and regional model on the card's test scores."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ggez_hub.cards import AdapterCard
from ggez_hub.evaluation.betas import Beta, as_json, point
from ggez_hub.evaluation.selection import NoCurve, trade
from ggez_hub.evaluation.trade_off import Point, Trade
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolving.joint import Together


@dataclass(frozen=True)
class Line:
    """A model of the table; `point` is None where its beta was not measured."""

    label: str
    beta: Beta
    point: Point | None


@dataclass(frozen=True)
class ParityTable:
    """Base, merged and regional model, with the alpha and the region of the resolution."""

    lines: tuple[Line, ...]
    trade: Trade

    def as_list(self) -> list[dict[str, Any]]:
        """The table as JSON; scores are on 0-100, intervals are 95 %."""
        return [
            {"model": line.label, "beta": as_json(line.beta), "measured": False}
            if line.point is None
            else {
                "model": line.label,
                "beta": as_json(line.beta),
                "measured": True,
                "global": line.point.q_global.score,
                "global_interval": list(line.point.q_global.interval),
                "regional": line.point.q_regional.score,
                "regional_interval": list(line.point.q_regional.interval),
                "grp": line.point.grp,
                "grp_interval": list(line.point.interval),
                "grp_raw": line.point.grp_raw,
            }
            for line in self.lines
        ]

    def rows(self) -> list[list[str]]:
        """The table for people."""
        return [
            [f"{line.label} (beta {line.beta:g})", "not measured", "", "", ""]
            if line.point is None
            else [
                f"{line.label} (beta {line.beta:g})",
                _with_interval(line.point.q_global.score, line.point.q_global.interval),
                _with_interval(line.point.q_regional.score, line.point.q_regional.interval),
                _with_interval(line.point.grp, line.point.interval),
                f"{line.point.grp_raw:.2f}",
            ]
            for line in self.lines
        ]

    def header(self) -> list[str]:
        """The columns of `rows`."""
        return ["model", "global", f"regional ({self.trade.region})", "GRP", "GRP raw"]


def parity_table(card: AdapterCard, resolution: Resolution) -> ParityTable | None:
    """The table from the card's test scores, or None if it has none.

    A model that is taken as it is stands beside its base: its curve has no beta between them.
    """
    if card.curve == "unknown":
        return None
    try:
        seen = trade(card.curve, "test", resolution.alpha.value, resolution.region, card.region)
    except NoCurve:
        return None
    beta = resolution.adapters[0].weight
    betas = {"base": 0.0, "regional": 1.0}
    if beta is not None:
        betas = {"base": 0.0, "merged": beta, "regional": 1.0}
    return ParityTable(tuple(Line(k, b, seen.at(b)) for k, b in betas.items()), seen)


def joint_table(together: Together, resolution: Resolution) -> ParityTable | None:
    """Base, composition, and each of its adapters alone, from the test side of a joint curve.

    None without such scores.
    """
    try:
        seen = together.trade("test", resolution.alpha.value)
    except NoCurve:
        return None
    weights = [adapter.weight or 0.0 for adapter in resolution.adapters]
    alone = [
        [weight if n == number else 0.0 for n, weight in enumerate(weights)]
        for number in range(len(weights))
    ]
    points = {"base": point([0.0] * len(weights)), "composition": point(weights)}
    points |= {
        f"{adapter.source.repo} alone": point(betas)
        for adapter, betas in zip(resolution.adapters, alone, strict=True)
    }
    return ParityTable(tuple(Line(k, b, seen.at(b)) for k, b in points.items()), seen)


def _with_interval(value: float, interval: tuple[float, float]) -> str:
    return f"{value:.2f} [{interval[0]:.2f}, {interval[1]:.2f}]"
