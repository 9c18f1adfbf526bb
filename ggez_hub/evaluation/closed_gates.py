"""Gates on the closed part of the test side, and the comparison of open and closed pictures.

gain, retention   as on the open part, from the closed part's aggregates
jump              GRP(b) - GRP(0) on open pictures less that on closed ones: where it is shown to be
                  above 0, the adapter may have been chosen by the open answers
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from ggez_hub.cards.closed import ClosedPart
from ggez_hub.evaluation.gate_rules import Gate, gain, retention
from ggez_hub.parity.betas import Beta, is_base
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import Effects, effects, independent_difference
from ggez_hub.parity.policy import Policy

JUMP = "jump"
ON_CLOSED = "on the closed part"


def closed_gates(
    part: ClosedPart, region: str, beta: Beta, alpha: float, policy: Policy, opened: Effects
) -> tuple[Gate, ...]:
    """The gates of a beta on the closed part; `opened` are its effects on the open one."""
    names = ("retention", "gain") if policy.share is not None else ("gain",)
    found = closed_effects(part, region, beta, alpha, policy)
    if found is None:
        reason = f"{part.pictures:,} closed pictures give no figures of this beta"
        return (*(Gate(_named(name), "undetermined", reason) for name in names), _no_jump(reason))
    curve, index, effect = found
    rules: dict[str, Callable[[ParityCurve, Effects, int], Gate]] = {
        "retention": retention,
        "gain": gain,
    }
    gates = (rules[name](curve, effect, index) for name in names)
    return (*(_of_closed(gate) for gate in gates), jump(beta, opened, effect))


def closed_effects(
    part: ClosedPart, region: str, beta: Beta, alpha: float, policy: Policy
) -> tuple[ParityCurve, int, Effects] | None:
    """The curve of the closed part, the place of a beta on it, and its effects; None without any."""
    if part.parity is None:
        return None
    curve = ParityCurve.of_record(part.parity, region)
    index = curve.index(beta)
    if index is None or curve.base is None:
        return None
    return curve, index, effects(curve, index, alpha, policy.share)


def jump(beta: Beta, opened: Effects, closed: Effects) -> Gate:
    """Whether the gain on pictures whose answers were seen is larger than on those that were not."""
    if is_base(beta):
        return Gate(JUMP, "pass", "beta 0 is the base itself")
    if opened.gain is None or closed.gain is None:
        return _no_jump("there is no gain to compare")
    difference = independent_difference(opened.gain, closed.gain)
    if difference.refusal is not None:
        return Gate(
            JUMP, "undetermined", f"open and closed pictures: {difference.refusal}", difference
        )
    if difference.is_above_zero:
        return Gate(
            JUMP,
            "undetermined",
            "the gain on items that were seen before is larger than on new ones by "
            f"{difference.shown()} points: possible selection on the test side",
            difference,
        )
    return Gate(
        JUMP,
        "pass",
        "the gain on open items is not shown to be larger than on closed ones: "
        f"{difference.shown()} points",
        difference,
    )


def closed_statement(part: ClosedPart, opened: Effects, closed: Effects | None) -> str:
    """The gain on both parts, in aggregate."""
    said = f"closed part of the test side, rotation {part.rotation}, {part.pictures:,} pictures: "
    if closed is None or closed.gain is None or opened.gain is None:
        return f"{said}no gain"
    return (
        f"{said}a gain in GRP of {closed.gain.shown()} points; "
        f"on the open part {opened.gain.shown()}"
    )


def _no_jump(reason: str) -> Gate:
    return Gate(JUMP, "undetermined", reason)


def _named(name: str) -> str:
    return f"{name} {ON_CLOSED}"


def _of_closed(gate: Gate) -> Gate:
    return replace(gate, name=_named(gate.name))
