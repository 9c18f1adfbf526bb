"""The gates one by one: what each asks, and its outcome where the data decide and where they do not.

On the closed part of the test side retention and gain rest on its aggregates; `jump` compares the gain on
open pictures with that on closed ones: where it is shown to be larger, the adapter may have been
chosen by the open answers.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

from ggez_hub.cards.measurements import ClosedPart
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.leakage import state_of
from ggez_hub.parity.betas import Beta, is_base
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import (
    NOT_FEASIBLE,
    Effects,
    effects,
    error_of,
    independent_difference,
    pictures_for,
    pictures_for_retention,
)
from ggez_hub.parity.intervals import Interval, estimate_side
from ggez_hub.parity.moments import OTHERS, REGIONAL
from ggez_hub.parity.policy import Policy
from ggez_hub.quantities import counted

Verdict: TypeAlias = Literal["pass", "fail", "undetermined"]
JUMP = "jump"
ON_CLOSED = "on the closed part"


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
    if estimate_side(curve.moments, OTHERS, curve.base).low <= 0:
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
    if estimate_side(curve.moments, REGIONAL, index).low <= 0:
        return Gate(name, "undetermined", "the merged model is at chance on the region")
    gate = _decided(name, effect.gain, "GRP has to be ahead of the base's")
    if gate.verdict != "undetermined":
        return gate
    found = effect.gain
    needed = pictures_for(found.value, error_of(found), found.pictures) if found.value > 0 else None
    number = NOT_FEASIBLE if needed is None else counted(needed, "picture")
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
    reason = (
        f"{unread} of {counted(total, 'answer')} could not be read; the limit is {100 * limit:g} %"
    )
    return Gate(name, verdict, reason)


def leakage(evidence: Evidence) -> Gate:
    """Whether a task, or an ancestor of its data, was trained on."""
    header = evidence.header
    states = {
        task: state_of(record.dataset, header.data, header.held_out)
        for task, record in header.tasks.items()
    }
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
        reason += f"; {counted(found.pictures, 'picture does', 'pictures do')} not decide"
    return Gate(name, verdict, reason, found)


def closed_gates(
    part: ClosedPart, region: str, beta: Beta, alpha: float, policy: Policy, opened: Effects
) -> tuple[Gate, ...]:
    """The gates of a beta on the closed part; `opened` are its effects on the open one."""
    rules = [*([retention] if policy.share is not None else []), gain]
    found = closed_effects(part, region, beta, alpha, policy)
    if found is None:
        reason = f"{counted(part.pictures, 'closed picture gives', 'closed pictures give')} no figures of this beta"
        names = [*(f"{rule.__name__} {ON_CLOSED}" for rule in rules), JUMP]
        return tuple(Gate(name, "undetermined", reason) for name in names)
    gates = [rule(*found) for rule in rules]
    return (
        *(replace(gate, name=f"{gate.name} {ON_CLOSED}") for gate in gates),
        jump(beta, opened, found[1]),
    )


def closed_effects(
    part: ClosedPart, region: str, beta: Beta, alpha: float, policy: Policy
) -> tuple[ParityCurve, Effects, int] | None:
    """The curve of the closed part, the effects of a beta on it, and its place; None without any."""
    if part.parity is None:
        return None
    curve = ParityCurve.of_record(part.parity, region)
    index = curve.index(beta)
    if index is None or curve.base is None:
        return None
    return curve, effects(curve, index, alpha, policy.share), index


def jump(beta: Beta, opened: Effects, closed: Effects) -> Gate:
    """Whether the gain on pictures whose answers were seen is larger than on those that were not."""
    if is_base(beta):
        return Gate(JUMP, "pass", "beta 0 is the base itself")
    if opened.gain is None or closed.gain is None:
        return Gate(JUMP, "undetermined", "there is no gain to compare")
    difference = independent_difference(opened.gain, closed.gain)
    verdict: Verdict = "undetermined"
    if difference.refusal is not None:
        reason = f"open and closed pictures: {difference.refusal}"
    elif difference.is_above_zero:
        reason = (
            "the gain on items that were seen before is larger than on new ones by "
            f"{difference.shown()} points: possible selection on the test side"
        )
    else:
        verdict = "pass"
        reason = (
            "the gain on open items is not shown to be larger than on closed ones: "
            f"{difference.shown()} points"
        )
    return Gate(JUMP, verdict, reason, difference)


def closed_statement(part: ClosedPart, opened: Effects, closed: Effects | None) -> str:
    """The gain on both parts, in aggregate."""
    said = f"closed part of the test side, rotation {part.rotation}, {counted(part.pictures, 'picture')}: "
    if closed is None or closed.gain is None or opened.gain is None:
        return f"{said}no gain"
    return f"{said}a gain in GRP of {closed.gain.shown()} points; on the open part {opened.gain.shown()}"
