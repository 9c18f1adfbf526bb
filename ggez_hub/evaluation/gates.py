"""Gates: what a merged model has to show before it is published as an improvement.

Every gate has three outcomes. It passes or fails where the data decide; where they do not, it is
undetermined, and the smallest difference that so many items could have shown is said. A claim that
is undetermined is published as unproven.

retention       Q_others may fall by less than a margin of (base - floor): the lower bound of the
                paired difference lies above -margin (non-inferiority), or its upper bound below
regional gain   the lower bound of the paired difference on the regional side lies above 0
parse failures  the share of answers that could not be read is at most a limit
leakage         no task asks about data that was trained on
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field

from ggez_hub.evaluation.betas import is_base
from ggez_hub.evaluation.comparison import Estimate, corrected_mean, paired_change
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.held_out import Compared
from ggez_hub.evaluation.leakage import state_of
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.scores import Z_95
from ggez_hub.recipe_file import read_recipe

Verdict: TypeAlias = Literal["pass", "fail", "undetermined"]
# A difference is detectable where it is shown in four of five repetitions.
Z_POWER = 0.8416212335729143


class Limits(BaseModel):
    """The fields of a recipe of `kind: gates`.

    retention_margin  how much of (base - floor) on Q_others may be lost, as a share
    parse_failures    the largest share of answers that could not be read
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["gates"] = "gates"
    retention_margin: float = Field(default=0.02, gt=0, lt=1)
    parse_failures: float = Field(default=0.05, ge=0, le=1)


@dataclass(frozen=True)
class Gate:
    """A gate and what came of it.

    difference  merged less base in points, with its 95 % interval
    threshold   what the interval is compared with
    detectable  the difference that so many items show in four of five repetitions
    """

    name: str
    verdict: Verdict
    reason: str
    difference: Estimate | None = None
    threshold: float | None = None
    detectable: float | None = None

    def as_dict(self) -> dict[str, object]:
        """The gate as JSON."""
        d = self.difference
        return {
            "gate": self.name,
            "outcome": self.verdict,
            "reason": self.reason,
            "difference": None if d is None else d.value,
            "interval": None if d is None else [d.low, d.high],
            "threshold": self.threshold,
            "smallest_detectable": self.detectable,
            "pictures": None if d is None else d.pictures,
        }


def read_limits(path: Path | None) -> Limits:
    """The limits of a recipe, or the defaults; raises BadRecipe."""
    return Limits() if path is None else read_recipe(path, "gates", Limits)


def gates(compared: Compared, evidence: Evidence, limits: Limits) -> tuple[Gate, ...]:
    """All gates, in the order of this module's description."""
    return (
        retention(compared, limits.retention_margin),
        regional_gain(compared),
        parse_failures((*compared.others, *compared.regional), limits.parse_failures),
        leakage(evidence),
    )


def overall(found: Iterable[Gate]) -> Verdict:
    """The worst of the outcomes: fail, then undetermined, then pass."""
    order: Sequence[Verdict] = ("pass", "undetermined", "fail")
    return max((gate.verdict for gate in found), key=order.index)


def retention(compared: Compared, margin: float) -> Gate:
    """Whether what the base knows of the world outside the region is kept."""
    name = "retention"
    if not compared.others:
        return Gate(name, "undetermined", "no item lies outside the region")
    if is_base(compared.beta):
        return Gate(name, "pass", "beta 0 is the base itself")
    base = corrected_mean(compared.others_base)
    if base.low <= 0:
        return Gate(name, "undetermined", "the base is at chance: there is nothing to retain")
    allowed = margin * _above_floor(compared.others_base)
    found = paired_change(compared.others, compared.others_base)
    return _decided(
        name,
        found,
        -allowed,
        f"at most {100 * margin:g} % of (base - floor), {allowed:.2f} points, may be lost on items "
        "outside the region",
    )


def regional_gain(compared: Compared) -> Gate:
    """Whether the merged model is better on the region than the base."""
    name = "regional gain"
    if not compared.regional:
        return Gate(name, "undetermined", "no item is of the region")
    if is_base(compared.beta):
        return Gate(name, "fail", "beta 0 is the base itself: there is no gain")
    if corrected_mean(compared.regional).low <= 0:
        return Gate(name, "undetermined", "the merged model is at chance on the region")
    found = paired_change(compared.regional, compared.regional_base)
    return _decided(name, found, 0.0, "the region has to gain")


def parse_failures(asked: Sequence[Outcomes], limit: float) -> Gate:
    """Whether few enough answers were unreadable; what was observed decides."""
    name = "parse failures"
    total = sum(map(len, asked))
    if total == 0:
        return Gate(name, "undetermined", "nothing was asked")
    unread = sum(outcomes.unparsed for outcomes in asked)
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


def _decided(name: str, found: Estimate, threshold: float, rule: str) -> Gate:
    detectable = (Z_95 + Z_POWER) * found.se
    verdict: Verdict = "undetermined"
    if found.low > threshold:
        verdict = "pass"
    elif found.high < threshold or (threshold == 0 and found.high <= 0):
        verdict = "fail"
    reason = rule
    if verdict == "undetermined":
        reason += (
            f"; {found.pictures} pictures cannot tell: they show a difference of "
            f"{detectable:.2f} points or more"
        )
    return Gate(name, verdict, reason, found, threshold, detectable)


def _above_floor(tasks: Sequence[Outcomes]) -> float:
    """Base - floor in points, the mean over tasks."""
    return math.fsum(100 * (float(task.values.mean()) - task.floor) for task in tasks) / len(tasks)
