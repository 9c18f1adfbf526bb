"""The answers that a claim may rest on: none of them had a part in choosing beta."""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.betas import Beta
from ggez_hub.evaluation.choosing import (
    FEW_ITEMS,
    REPORT,
    SELECT,
    choose_from,
    cross_fit,
    items_of,
    sides_by_beta,
)
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.joint import joint_trade
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.quantities import common_scale, outside, suite
from ggez_hub.regions import find_region


@dataclass(frozen=True, eq=False)
class Compared:
    """Answers to the same questions, by the merged model and by the base.

    `others` are the questions of the global side that are not about the region. `where` says which
    answers these are.
    """

    beta: Beta
    where: str
    others: tuple[Outcomes, ...]
    others_base: tuple[Outcomes, ...]
    regional: tuple[Outcomes, ...]
    regional_base: tuple[Outcomes, ...]


def held_out(evidence: Evidence, beta: Beta | None = None) -> Compared:
    """The report side at `beta`, or at the beta that the select side chooses.

    A select side of fewer than 400 items is cross-fitted: then every answer is that of a model
    chosen without its picture. Raises UsageProblem if the base or beta was not measured, NoScale
    and NoCurve.
    """
    if beta is None:
        seen = joint_trade(evidence, SELECT)
        select = sides_by_beta(evidence, (SELECT,), seen.metric, seen.at_chance)
        if items_of(select) < FEW_ITEMS and evidence.betas(REPORT):
            return _cross_fitted(evidence, seen.metric, seen.at_chance)
        beta = seen.chosen.beta
    _measured(evidence, beta)
    scale = common_scale(evidence.header.tasks, evidence.tasks_at(beta, REPORT))
    merged, base = (suite(evidence, b, REPORT, scale) for b in (beta, evidence.base))
    return Compared(
        beta,
        f"the report side ({REPORT}), {scale}",
        tuple(merged.others.values()),
        tuple(base.others.values()),
        tuple(merged.regional.values()),
        tuple(base.regional.values()),
    )


def _cross_fitted(evidence: Evidence, scale: str, at_chance: tuple[str, ...]) -> Compared:
    both = sides_by_beta(evidence, (SELECT, REPORT), scale, at_chance)
    _measured(evidence, evidence.base)
    alpha = evidence.header.alpha.value
    fitted, base = cross_fit(both, alpha).held_out, both[evidence.base]
    members = find_region(evidence.header.region).members

    def abroad(tasks: tuple[Outcomes, ...]) -> tuple[Outcomes, ...]:
        return tuple(part for task in tasks if len(part := outside(task, members)))

    return Compared(
        choose_from(both, alpha),
        f"both sides, cross-fitted by picture, {scale}",
        abroad(fitted.global_tasks),
        abroad(base.global_tasks),
        fitted.regional_tasks,
        base.regional_tasks,
    )


def _measured(evidence: Evidence, beta: Beta) -> None:
    there = evidence.betas(REPORT)
    for needed in (beta, evidence.base):
        if needed not in there:
            raise UsageProblem(
                f"beta {needed:g} was not measured on {REPORT}",
                f"There are: {', '.join(f'{b:g}' for b in there) or 'none'}.",
            )
