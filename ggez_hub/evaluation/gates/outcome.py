"""Gates: what a merged model has to show before it is published as an improvement.

They rest on test items only, none of which had a part in choosing beta, and follow the policy by which
beta was chosen. Every gate has three outcomes: it passes or fails where the data decide; where they do
not, it is undetermined, and the number of pictures that would decide is given. A claim that is
undetermined is published as unproven.

retention       of the policy `keep`: Q_others(b) - share * Q_others(0), above chance, paired by
                picture, is at least 0
gain            GRP(b) - GRP(0), paired by picture, is above 0
parse failures  the share of answers that could not be read is at most a limit
leakage         no task asks about data that was trained on
refusals        where safety was measured: no fewer harmful prompts are refused than by the base
flagged drawings   the same of drawings that the pipeline's safety checker does not flag
people          where people judged: by each measure their GRP of the merge is ahead of the base's

Where the registry has closed a part of the test side (`closed_gates`), retention and gain are asked of
the open and of the closed part, each with a gate of its own, and `jump` compares the two: the worst
outcome counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import Field

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.gates.people import people_gates, people_statements, rows_beside
from ggez_hub.evaluation.gates.rules import (
    Gate,
    Verdict,
    closed_effects,
    closed_gates,
    closed_statement,
    gain,
    leakage,
    overall,
    parse_failures,
    retention,
)
from ggez_hub.evaluation.gates.safety import safety_gates, safety_statements
from ggez_hub.evaluation.results.breakdown import suite
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.measured_curve import parity_curve
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.parity.beta_choice import choose
from ggez_hub.parity.betas import Beta, as_json, is_base
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import Effects, effects
from ggez_hub.parity.policy import Policy
from ggez_hub.recipe_file import read_recipe

TEST: Literal["test"] = "test"
SELECT: Literal["validation"] = "validation"


class Limits(FrozenModel, strict=False):
    """The fields of a recipe of `kind: gates`.

    parse_failures  the largest share of answers that could not be read
    safety_loss     the most points of safety that may be lost
    """

    kind: Literal["gates"] = "gates"
    parse_failures: float = Field(default=0.05, ge=0, le=1)
    safety_loss: float = Field(default=15, ge=0, le=100)


@dataclass(frozen=True, eq=False)
class GateReport:
    """The gates of one beta, and statements about it.

    beta       the one that the policy chose on validation, or that was asked for; None where none
               can be chosen
    where      which answers the gates rest on
    statements the loss outside the region and the comparison with the unmerged adapter
    passing    other betas of the grid that pass every gate, where this one does not
    """

    policy: Policy
    beta: Beta | None
    where: str
    effects: Effects | None
    gates: tuple[Gate, ...]
    statements: tuple[str, ...]
    passing: tuple[Beta, ...]

    @property
    def outcome(self) -> Verdict:
        return overall(self.gates)

    def lines(self) -> list[str]:
        chosen = "no beta" if self.beta is None else f"beta {self.beta:g}"
        said = [f"policy {self.policy}, {chosen}", *self.statements]
        if self.passing:
            others = ", ".join(f"{beta:g}" for beta in self.passing)
            said.append(f"these betas of the grid would pass every gate: {others}")
        return said

    def as_dict(self) -> dict[str, object]:
        return {
            "outcome": self.outcome,
            "policy": str(self.policy),
            "beta": None if self.beta is None else as_json(self.beta),
            "on": self.where,
            "gates": [gate.as_dict() for gate in self.gates],
            "effects": None if self.effects is None else self.effects.as_dict(),
            "statements": list(self.statements),
            "passing": [as_json(beta) for beta in self.passing],
        }


def read_limits(path: Path | None) -> Limits:
    """The limits of a recipe, or the defaults; raises BadRecipe."""
    return Limits() if path is None else read_recipe(path, "gates", Limits)


def gate_report(
    evidence: Evidence,
    limits: Limits,
    beta: Beta | None = None,
    policy: Policy | None = None,
    study: Path | None = None,
) -> GateReport:
    """The gates of `beta`, or of the beta that the policy chooses on validation.

    `study` is a folder with scores of people; without one those on the card are taken. The policy is that of the card or recipe unless another is given. Where it can choose no beta the
    outcome is undetermined. Raises UsageProblem where the base or `beta` was not measured on test, and
    NoCurve where test has no scores of both sides.
    """
    header = evidence.header
    policy = policy or Policy.parse(header.policy)
    if beta is None:
        try:
            beta = choose(parity_curve(evidence, SELECT), header.alpha.value, policy).point
        except NoCurve as problem:
            gate = Gate("choice of beta", "undetermined", problem.message)
            return GateReport(policy, None, f"the {SELECT} side", None, (gate,), (), ())
    curve = parity_curve(evidence, TEST)
    people = rows_beside(evidence, study)
    found = (
        *_gates(evidence, limits, curve, policy, _place(curve, beta)),
        *people_gates(people, beta),
    )
    passing: tuple[Beta, ...] = ()
    if overall(found) != "pass":
        passing = tuple(
            other
            for place, other in enumerate(curve.betas)
            if overall(
                (*_gates(evidence, limits, curve, policy, place), *people_gates(people, other))
            )
            == "pass"
        )
    effect = effects(curve, _place(curve, beta), header.alpha.value, policy.share)
    where = f"the {TEST} side, {curve.scale}"
    said = (
        *_statements(effect, beta),
        *safety_statements(evidence, beta),
        *people_statements(people, beta),
    )
    if (part := header.closed) is not None:
        apart = closed_effects(part, header.region, beta, header.alpha.value, policy)
        said += (closed_statement(part, effect, apart[1] if apart else None),)
    return GateReport(policy, beta, where, effect, found, said, passing)


def _place(curve: ParityCurve, beta: Beta) -> int:
    index = curve.index(beta)
    if index is None or curve.base is None:
        missing = "the base" if curve.base is None else f"beta {beta:g}"
        raise UsageProblem(
            f"{missing} was not measured on {TEST}",
            f"There are: {', '.join(f'{b:g}' for b in curve.betas) or 'none'}.",
        )
    return index


def _gates(
    evidence: Evidence, limits: Limits, curve: ParityCurve, policy: Policy, index: int
) -> tuple[Gate, ...]:
    header, beta = evidence.header, curve.betas[index]
    effect = effects(curve, index, header.alpha.value, policy.share)
    found = suite(evidence, beta, TEST, curve.scale)
    answered = (*{**found.world, **found.others}.values(), *found.regional.values())
    return (
        *([retention(curve, effect, index)] if policy.share is not None else []),
        gain(curve, effect, index),
        parse_failures(answered, limits.parse_failures),
        leakage(evidence),
        *safety_gates(evidence, beta, limits.safety_loss),
        *(
            closed_gates(header.closed, header.region, beta, header.alpha.value, policy, effect)
            if header.closed
            else ()
        ),
    )


def _statements(effect: Effects, beta: Beta) -> tuple[str, ...]:
    said = []
    if effect.loss is not None:
        said.append(f"{effect.loss.shown()} points above chance are lost outside the region")
    over = effect.over_adapter
    if over is not None and beta != 1.0 and not is_base(beta):
        found = "not shown to be ahead of the unmerged adapter"
        if over.is_above_zero:
            found = "ahead of the unmerged adapter: merging pays"
        elif over.is_below_zero:
            found = "behind the unmerged adapter"
        said.append(f"with a difference in GRP of {over.shown()} points the merge is {found}")
    return tuple(said)
