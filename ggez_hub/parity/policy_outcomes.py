"""Every policy's choice on one curve, with what it keeps and gains: printed wherever beta is chosen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np

from ggez_hub.cards.curve import Split
from ggez_hub.parity.beta_choice import FEW_PICTURES, ROUNDING, Choice, choose
from ggez_hub.parity.betas import Beta, as_json, beta_key
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import Effects, effects
from ggez_hub.parity.intervals import estimate_grp
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL, Floats, Moments
from ggez_hub.parity.policy import KEEP, PARITY, Policy
from ggez_hub.quantities import counted

# The curve on a split, seen for a region; raises NoCurve.
CurveOn: TypeAlias = Callable[[Split], ParityCurve]

DRAWS = 2000
SEED = 0
# Variances below this share of the largest are rounding: identical answers stay identical.
_ROUNDING = 1e-12


def redraw_means(moments: Moments, draws: int = DRAWS) -> Floats:
    """Means (draws, 3, B), normal about the estimates with their covariance; NaN stays NaN."""
    shape = moments.means.shape
    size = moments.means.size
    values, vectors = np.linalg.eigh(moments.covariance.reshape(size, size))
    kept = values > _ROUNDING * max(float(values[-1]), 0.0)
    spread = vectors[:, kept] * np.sqrt(values[kept])
    normal = np.random.default_rng(SEED).standard_normal((draws, int(kept.sum())))
    return np.asarray(moments.means + (normal @ spread.T).reshape(draws, *shape))


@dataclass(frozen=True, eq=False)
class PolicyOutcome:
    """The beta that a policy chooses on validation, or why it chooses none, and its effects.

    validation, test  the effects on each split; None where the beta was not measured there
    redraws           in which share of redraws of the pictures the policy takes each beta; not the
                      probability that a beta is the best
    """

    policy: Policy
    choice: Choice | None
    reason: str
    validation: Effects | None
    test: Effects | None
    redraws: Mapping[str, float] = field(default_factory=dict)

    def as_dict(self) -> dict[str, object]:
        chosen = self.choice
        grp = chosen and estimate_grp(chosen.curve.moments, chosen.alpha, chosen.index)
        return {
            "beta": None if chosen is None else as_json(chosen.point),
            "reason": self.reason,
            "grp": grp and grp.as_dict(),
            "validation": self.validation and self.validation.as_dict(),
            "test": self.test and self.test.as_dict(),
            "share_of_redraws": dict(self.redraws),
        }

    def line(self) -> str:
        if self.choice is None:
            return f"{self.policy}: no beta, {self.reason}"
        found, where = (self.test, "test") if self.test else (self.validation, "validation")
        assert found is not None  # noqa: S101 - there is a choice
        parts = []
        if found.loss:
            kept = (
                f"{100 * found.kept:.1f} % of the base's score kept, "
                if found.kept is not None
                else ""
            )
            parts.append(f"outside the region {kept}{found.loss.shown()} points lost")
        if found.gain:
            parts.append(f"GRP {found.gain.shown()} over the base")
        if found.over_adapter and self.choice.point != 1.0:
            parts.append(f"{found.over_adapter.shown()} over the unmerged adapter")
        if self.choice.point == 0:
            return f"{self.policy}: beta 0, the base{self._certainty()}"
        head = f"{self.policy}: beta {self.choice.point:g}"
        on_split = f"; on {where} {', '.join(parts)}" if parts else ""
        return f"{head}{on_split}{self._certainty()}"

    def short(self, taken: Beta | None) -> str:
        """The choice as an option of `pull` with its gain, empty where it is the beta `taken`."""
        if self.choice is None or self.choice.point == taken:
            return ""
        found = self.test or self.validation
        assert found is not None  # noqa: S101 - there is a choice
        if self.choice.point == 0:
            return f"--policy {self.policy}: the base"
        parts = [f"beta {self.choice.point:g}"]
        if found.gain:
            parts.append(f"GRP {found.gain.value:+.2f} over the base")
        if found.kept is not None:
            parts.append(f"{100 * found.kept:.1f} % kept outside the region")
        return f"--policy {self.policy}: {', '.join(parts)}"

    def _certainty(self) -> str:
        """How firm the choice on validation is, where its errors are known."""
        if self.choice is None or not self.choice.curve.is_joint:
            return ""
        own = self.redraws.get(beta_key(self.choice.point), 0.0)
        few = ", few" if self.choice.pictures < FEW_PICTURES else ""
        return (
            f"; chosen in {100 * own:.0f} % of redraws of validation "
            f"({counted(self.choice.pictures, 'picture')}{few})"
        )


def policy_outcomes(
    curve_on: CurveOn, alpha: float, own: Policy = PARITY
) -> tuple[PolicyOutcome, ...]:
    """The outcomes of `parity`, of `keep`, and of `own` where it is neither."""
    return tuple(
        _outcome(curve_on, alpha, policy)
        for policy in dict.fromkeys((PARITY, KEEP if own == PARITY else own))
    )


def _outcome(curve_on: CurveOn, alpha: float, policy: Policy) -> PolicyOutcome:
    try:
        chosen = choose(curve_on("validation"), alpha, policy)
    except NoCurve as problem:
        return PolicyOutcome(policy, None, problem.message, None, None)
    return PolicyOutcome(
        policy,
        chosen,
        chosen.reason,
        effects(chosen.curve, chosen.index, alpha, policy.share),
        _on_test(curve_on, chosen),
        _redraws(chosen),
    )


def _on_test(curve_on: CurveOn, chosen: Choice) -> Effects | None:
    try:
        curve = curve_on("test")
    except NoCurve:
        return None
    index = curve.index(chosen.point)
    return None if index is None else effects(curve, index, chosen.alpha, chosen.policy.share)


def _redraws(chosen: Choice) -> dict[str, float]:
    """The share of redraws in which the policy takes each beta; those that it never takes are left out."""
    curve, alpha, share, base = chosen.curve, chosen.alpha, chosen.policy.share, chosen.curve.base
    if not curve.is_joint:
        return {}
    places = range(len(curve.betas))

    means = redraw_means(curve.moments)
    grps = alpha * means[:, GLOBAL] + (1 - alpha) * means[:, REGIONAL]
    if share is not None and base is not None:
        surpluses = (curve.moments.surplus(place, share, base) for place in places)
        errors = np.array([curve.moments.combine(surplus)[1] for surplus in surpluses])
        margin = means[:, OTHERS] - share * means[:, OTHERS, [base]] - errors
        grps = np.where((margin >= 0) | (np.array(places) == base), grps, -np.inf)
    taken = np.argmax(grps >= grps.max(axis=1, keepdims=True) - ROUNDING, axis=1)
    shares = np.bincount(taken, minlength=len(places)) / len(taken)
    return {
        beta_key(beta): float(part) for beta, part in zip(curve.betas, shares, strict=True) if part
    }
