"""The table of a pull: base, merged and regional model on the card's test scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from ggez_hub.cards import AdapterCard
from ggez_hub.parity.betas import Beta, as_json, point
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import effects
from ggez_hub.parity.intervals import Interval, estimate_grp, estimate_score
from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.policy_outcomes import CurveOn, PolicyOutcome, policy_outcomes
from ggez_hub.parity.seeds import SeedSummary, seed_summary
from ggez_hub.quantities import counted
from ggez_hub.registry.adapter_kinds import form_of
from ggez_hub.registry.resolution import Resolution
from ggez_hub.registry.resolver.composition import JointMeasurement


@dataclass(frozen=True)
class TableLine:
    """A model of the table; `index` is its place on the curve, None where it was not measured."""

    label: str
    beta: Beta
    index: int | None


@dataclass(frozen=True, eq=False)
class ParityTable:
    """Base, merged and regional model on test, and what each policy chooses on validation.

    `seeds` are other seeds at the merge's beta, where the card has them.
    """

    lines: tuple[TableLine, ...]
    curve: ParityCurve
    alpha: float
    policies: tuple[PolicyOutcome, ...]
    seeds: SeedSummary | None = None

    def as_list(self) -> list[dict[str, Any]]:
        """The table as JSON; scores are on 0-100, intervals are 95 %."""
        return [
            {"model": line.label, "beta": as_json(line.beta), "measured": line.index is not None}
            | ({} if line.index is None else self._figures(line.index))
            for line in self.lines
        ]

    def _figures(self, index: int) -> dict[str, Any]:
        world, regional, grp = self._intervals(index)
        return {
            "global": world.value,
            "global_interval": [world.low, world.high],
            "regional": regional.value,
            "regional_interval": [regional.low, regional.high],
            "grp": grp.value,
            "grp_interval": [grp.low, grp.high],
            "grp_raw": self.curve.grp_raw(index, self.alpha),
            **effects(self.curve, index, self.alpha).as_dict(),
        }

    def _intervals(self, index: int) -> tuple[Interval, Interval, Interval]:
        moments = self.curve.moments
        return (
            estimate_score(moments, GLOBAL, index),
            estimate_score(moments, REGIONAL, index),
            estimate_grp(moments, self.alpha, index),
        )

    def rows(self) -> list[list[str]]:
        return [
            [f"{line.label} (beta {line.beta:g})", "not measured", "", "", ""]
            if line.index is None
            else [
                f"{line.label} (beta {line.beta:g})",
                *(found.text(digits=1) for found in self._intervals(line.index)),
                f"{self.curve.grp_raw(line.index, self.alpha):.1f}",
            ]
            for line in self.lines
            # The merge at beta 0 is the base, which has its line.
            if line.beta != 0 or line.label != "merged"
        ]

    def header(self) -> list[str]:
        return ["model", "global", f"regional ({self.curve.region})", "GRP", "GRP raw"]

    def notes(self) -> list[str]:
        found = [outcome.line() for outcome in self.policies]
        found += self.seeds.lines() if self.seeds else []
        if self.curve.at_chance:
            found.append(f"left out, at chance at every beta: {', '.join(self.curve.at_chance)}")
        if not self.curve.is_joint:
            found.append(
                "the card does not record what the errors of its scores share: they are taken as "
                "independent"
            )
        return found


def parity_table(card: AdapterCard, resolution: Resolution) -> ParityTable | None:
    """The table from the card's test scores, or None if it has none.

    A model that is taken as it is has no beta between base and itself.
    """
    beta = resolution.adapters[0].weight
    betas: dict[str, Beta] = {"base": 0.0, "regional": 1.0}
    if beta is not None and not form_of(resolution).is_switch:
        betas = {"base": 0.0, "merged": beta, "regional": 1.0}
    own = Policy.parse(resolution.policy or card.policy)
    table = _table(
        lambda split: ParityCurve.of(card.measured, split, resolution.region),
        betas,
        resolution,
        own,
    )
    if table is None or beta is None or resolution.by_part:
        return table
    seeds = seed_summary(card, table.curve, "test", beta, resolution.alpha.value)
    return replace(table, seeds=seeds)


def joint_table(together: JointMeasurement, resolution: Resolution) -> ParityTable | None:
    """Base, composition, and each of its adapters alone, from the test side of a joint curve.

    None without such scores.
    """
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
    return _table(
        together.curve, points, resolution, Policy.parse(resolution.policy or together.joint.policy)
    )


def _table(
    curve_on: CurveOn, betas: Mapping[str, Beta], resolution: Resolution, own: Policy
) -> ParityTable | None:
    # The policies look at the same two curves.
    curve_on = cache(curve_on)
    try:
        curve = curve_on("test")
    except NoCurve:
        return None
    alpha = resolution.alpha.value
    outcomes = policy_outcomes(curve_on, alpha, own)
    lines = tuple(TableLine(label, beta, curve.index(beta)) for label, beta in betas.items())
    if resolution.by_part:
        # No curve has measured betas by part, and what follows from a choice is of the plain model.
        outcomes = ()
        lines = tuple(
            replace(line, label=f"{line.label} by part", index=None)
            if line.label in {"merged", "composition"}
            else line
            for line in lines
            if not line.label.endswith(" alone")
        )
    return ParityTable(lines, curve, alpha, outcomes)


@dataclass(frozen=True)
class MeasuredSwitch:
    """The switch as it was measured; `ahead` is None where it was not, or its prompts have no cue."""

    ahead: bool | None
    text: str
    short: str = ""


def measured_switch(card: AdapterCard, resolution: Resolution) -> MeasuredSwitch:
    """What a card has measured of the switch that a resolution may be, or could be."""
    found = card.baselines
    if found is None or found.switch is None or resolution.fits_by != "weights":
        return MeasuredSwitch(None, "unmeasured: whether it is ahead of the merge is not known")
    switch, over = found.switch, found.switch.over_merge
    if not switch.cue:
        return MeasuredSwitch(None, f"not recommended: it has no cue, since {switch.reason}")
    ahead = over.low > 0 and not over.undetermined
    compared = (
        "ahead of"
        if ahead
        else "behind"
        if over.high < 0 and not over.undetermined
        else "not shown to be ahead of"
    )
    other = ""
    if resolution.region != card.region or resolution.alpha.value != card.alpha.value:
        other = f", for {card.region} at alpha {card.alpha.value:g}"
    claim = "" if found.measured_by == "registry" else ", as its author claims"
    return MeasuredSwitch(
        ahead,
        f"{compared} the merge at beta {found.beta} by {over.value:+.2f} [{over.low:+.2f}, "
        f"{over.high:+.2f}] points of GRP on {found.split}{other}{claim}; {switch.misrouted:,} of "
        f"{counted(switch.prompts, 'prompt')} went to the wrong model",
        f"GRP {over.value:+.2f} over the merge at beta {found.beta}{other}{claim}",
    )
