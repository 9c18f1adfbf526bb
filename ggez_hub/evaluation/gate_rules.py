"""The gates one by one: what each asks, and its outcome where the data decide and where they do not."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.leakage import state_of
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.parity.betas import is_base
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import Effects, others_interval, regional_interval
from ggez_hub.parity.intervals import Interval
from ggez_hub.parity.power import NOT_FEASIBLE, error_of, pictures_for, pictures_for_retention

Verdict: TypeAlias = Literal["pass", "fail", "undetermined"]


@dataclass(frozen=True)
class Gate:
    """A gate and its outcome; `difference` is in points and has to exceed 0.

    pictures_needed  how many pictures decide with 80 % power, if the estimated difference is the true
                     one; None where no feasible number does
    if_nothing_lost  of retention: how many pictures pass it if nothing is lost
    """

    name: str
    verdict: Verdict
    reason: str
    difference: Interval | None = None
    pictures_needed: int | None = None
    if_nothing_lost: int | None = None

    def as_dict(self) -> dict[str, object]:
        """The gate as JSON."""
        d = self.difference
        return {
            "gate": self.name,
            "outcome": self.verdict,
            "reason": self.reason,
            "difference": None if d is None else d.value,
            "interval": None if d is None else [d.low, d.high],
            "pictures": None if d is None else d.pictures,
            "pictures_needed": self.pictures_needed,
            "pictures_needed_if_nothing_lost": self.if_nothing_lost,
        }


def overall(found: Iterable[Gate]) -> Verdict:
    """The worst of the outcomes: fail, then undetermined, then pass."""
    order: Sequence[Verdict] = ("pass", "undetermined", "fail")
    return max((gate.verdict for gate in found), key=order.index)


def retention(curve: ParityCurve, effect: Effects, index: int) -> Gate:
    """Whether the share of the base's Q_others that the policy names is kept."""
    name = "retention"
    if effect.kept_margin is None or curve.base is None:
        return Gate(name, "undetermined", "no item is outside the region")
    if is_base(curve.betas[index]):
        return Gate(name, "pass", "beta 0 is the base itself")
    if others_interval(curve, curve.base).low <= 0:
        return Gate(name, "undetermined", "the base is at chance: there is nothing to retain")
    rule = f"{100 * effect.share:g} % of the base's score above chance has to be kept outside the region"
    gate = _decided(name, effect.kept_margin, rule)
    needed = pictures_for_retention(curve.moments, index, kept=effect.share, base=curve.base)
    if gate.verdict != "undetermined" or needed is None:
        return gate
    return replace(
        gate,
        reason=f"{gate.reason}; to decide with 80 % power: {needed}",
        pictures_needed=needed.for_estimate,
        if_nothing_lost=needed.for_no_loss,
    )


def gain(curve: ParityCurve, effect: Effects, index: int) -> Gate:
    """Whether the GRP of the merged model is ahead of the base's."""
    name = "gain"
    if is_base(curve.betas[index]) or effect.gain is None:
        return Gate(name, "fail", "beta 0 is the base itself: there is no gain")
    if regional_interval(curve, index).low <= 0:
        return Gate(name, "undetermined", "the merged model is at chance on the region")
    gate = _decided(name, effect.gain, "GRP has to be ahead of the base's")
    if gate.verdict != "undetermined":
        return gate
    found = effect.gain
    needed = pictures_for(found.value, error_of(found), found.pictures) if found.value > 0 else None
    number = NOT_FEASIBLE if needed is None else f"{needed:,} pictures"
    return replace(
        gate, reason=f"{gate.reason}; to show it with 80 % power: {number}", pictures_needed=needed
    )


def parse_failures(answered: Sequence[Outcomes], limit: float) -> Gate:
    """Whether few enough answers were unreadable; what was observed decides."""
    name = "parse failures"
    total = sum(map(len, answered))
    if total == 0:
        return Gate(name, "undetermined", "there are no answers")
    unread = sum(outcomes.unparsed for outcomes in answered)
    verdict: Verdict = "pass" if unread <= limit * total else "fail"
    reason = f"{unread} of {total} answers could not be read; the limit is {100 * limit:g} %"
    return Gate(name, verdict, reason)


def leakage(evidence: Evidence) -> Gate:
    """Whether a task, or an ancestor of its data, was trained on."""
    header = evidence.header
    states = {task: state_of(record.dataset, header.data) for task, record in header.tasks.items()}
    leaked = [f"{task}: {why}" for task, (state, why) in states.items() if state == "trained on"]
    if leaked:
        return Gate("leakage", "fail", "; ".join(leaked))
    reasons = sorted({why for state, why in states.values() if state == "contamination unknown"})
    if reasons:
        return Gate("leakage", "undetermined", f"contamination unknown: {'; '.join(reasons)}")
    return Gate("leakage", "pass", "no task's data or known ancestor was trained on")


def _decided(name: str, found: Interval, rule: str) -> Gate:
    if found.refusal is not None:
        return Gate(name, "undetermined", f"{rule}; {found.refusal}", found)
    verdict: Verdict = "undetermined"
    if found.low > 0 or (name == "retention" and found.low >= 0):
        verdict = "pass"
    elif found.high < 0:
        verdict = "fail"
    reason = rule
    if verdict == "undetermined":
        reason += f"; {found.pictures:,} pictures do not decide"
    return Gate(name, verdict, reason, found)
