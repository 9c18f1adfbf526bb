"""Every policy's choice on one curve, with what it keeps and gains: printed wherever beta is chosen."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from ggez_hub.cards.curve import Split
from ggez_hub.parity.betas import as_json
from ggez_hub.parity.choice import Choice, Undetermined, choose
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import Effects, effects, grp_interval
from ggez_hub.parity.intervals import Interval
from ggez_hub.parity.policy import KEEP, PARITY, Policy
from ggez_hub.parity.rows import NoCurve

# The curve on a split, seen for a region; raises NoCurve.
CurveOn: TypeAlias = Callable[[Split], ParityCurve]


@dataclass(frozen=True, eq=False)
class PolicyOutcome:
    """The beta that a policy chooses on validation, or why it chooses none, and its effects.

    validation, test  the effects on each split; None where the beta was not measured there
    """

    policy: Policy
    choice: Choice | None
    reason: str
    validation: Effects | None
    test: Effects | None

    def as_dict(self) -> dict[str, object]:
        """The outcome as JSON."""
        chosen = self.choice
        grp = None if chosen is None else grp_interval(chosen.curve, chosen.index, chosen.alpha)
        return {
            "beta": None if chosen is None else as_json(chosen.point),
            "reason": self.reason,
            "grp": None
            if grp is None
            else {"value": grp.value, "se": grp.se, "interval": [grp.low, grp.high]},
            "validation": None if self.validation is None else self.validation.as_dict(),
            "test": None if self.test is None else self.test.as_dict(),
        }

    def line(self) -> str:
        """One line for people: the beta, what it keeps outside the region, and its gain in GRP."""
        if self.choice is None:
            return f"{self.policy}: no beta, {self.reason}"
        found, where = (self.test, "test") if self.test else (self.validation, "validation")
        parts = [f"{self.policy}: beta {self.choice.point:g}"]
        if found is not None and found.kept is not None:
            parts.append(f"keeps {100 * found.kept:.1f} % outside the region")
        if found is not None and found.gain is not None:
            parts.append(f"GRP {shown(found.gain)} over the base")
        if found is not None and found.over_adapter is not None and self.choice.point != 1.0:
            parts.append(f"{shown(found.over_adapter)} over the unmerged adapter")
        return f"{', '.join(parts)} ({where})" if found else ", ".join(parts)


def policy_outcomes(
    curve_on: CurveOn, alpha: float, own: Policy = PARITY
) -> tuple[PolicyOutcome, ...]:
    """The outcomes of `parity`, of `keep`, and of `own` where it is neither."""
    return tuple(
        _outcome(curve_on, alpha, policy)
        for policy in dict.fromkeys((PARITY, KEEP if own == PARITY else own))
    )


def shown(found: Interval) -> str:
    """A difference with its interval."""
    return f"{found.value:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"


def _outcome(curve_on: CurveOn, alpha: float, policy: Policy) -> PolicyOutcome:
    try:
        chosen = choose(curve_on("validation"), alpha, policy)
    except (NoCurve, Undetermined) as problem:
        return PolicyOutcome(policy, None, problem.message, None, None)
    return PolicyOutcome(
        policy,
        chosen,
        chosen.reason,
        effects(chosen.curve, chosen.index, alpha, policy.share),
        _on_test(curve_on, chosen),
    )


def _on_test(curve_on: CurveOn, chosen: Choice) -> Effects | None:
    try:
        curve = curve_on("test")
    except NoCurve:
        return None
    index = curve.index(chosen.point)
    return None if index is None else effects(curve, index, chosen.alpha, chosen.policy.share)
