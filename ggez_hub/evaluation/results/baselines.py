"""The baselines of a merge: a switch by the prompt's language, averaged outputs, a joint fine-tune.

switch   the base's answers to prompts in other languages, the adapter's to those in its own
average  the answers of an embedding model whose outputs are the mean of the base's and the adapter's
joint    another adapter on the same base, at beta 1: a joint fine-tune of equal cost

Each costs something that the merge does not, which its entry states.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any, Literal, get_args

from ggez_hub.cards.measurements import Baselines
from ggez_hub.evaluation.answers.scores import NotComparable, mean, parity, parity_difference
from ggez_hub.evaluation.results.breakdown import Suite, suite
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.header import BaselineName
from ggez_hub.evaluation.results.language_switch import BASE, NoSwitch, Routes, Switch, switched
from ggez_hub.evaluation.results.measured_curve import parity_curve
from ggez_hub.parity.betas import Beta, as_json, beta_key, betas_of, read_key
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.intervals import interval_json

Json = dict[str, Any]

# The side that is reported; what has none is shown on what it has.
REPORT = "test"
COSTS: Mapping[str, str] = {
    "switch": "base and adapter in memory, and prompts whose language shows which should answer",
    "average": "base and adapter in memory, two passes of each text (and of each picture where the "
    "adapter changes that tower)",
    "joint": "a fine-tune on the region's and the world's data together",
}


def baselines(evidence: Evidence, beta: Beta | None) -> Json:
    """The figures of every baseline, each against the merge at `beta`; empty for a single model.

    Scores are on 0-100, `over_merge` is the paired difference in GRP to the merge in points (None where
    no beta is chosen), intervals are 95 %. A baseline that cannot be given has a `reason` alone.
    """
    betas = sorted({cell.beta for cell in evidence.outcomes})
    if len(betas) < 2 or len(betas_of(betas[0])) > 1:
        return {}
    splits = {cell.split for cell in evidence.outcomes}
    split = REPORT if REPORT in splits else min(splits)
    try:
        curve = parity_curve(evidence, "test" if split == REPORT else "validation")
    except NoCurve as problem:
        return {"reason": problem.message}
    compare = _Comparison(evidence, beta, split, curve)
    found: Json = {
        "split": split,
        "scale": curve.scale,
        "beta": None if beta is None else as_json(beta),
        "switch": {"cost": COSTS["switch"], **_switch(compare)},
    }
    for name, outcomes in evidence.baselines.items():
        model = replace(evidence, outcomes=outcomes)
        # One model, at one beta; `verify` says so where a file holds something else.
        at = min(cell.beta for cell in outcomes) if outcomes else BASE
        found[name] = {"cost": COSTS[name], **compare.figures(model, at)}
    return found


class _Comparison:
    """The merge on one split and scale, and how another model does beside it."""

    def __init__(
        self, evidence: Evidence, beta: Beta | None, split: str, curve: ParityCurve
    ) -> None:
        self.evidence, self.split = evidence, split
        self.tasks = frozenset(
            name
            for name, task in evidence.header.tasks.items()
            if task.scale == curve.scale and name not in curve.at_chance
        )
        self._scale, self._alpha = curve.scale, evidence.header.alpha.value
        there = beta is not None and beta in evidence.betas(split)
        self._merge = self._suite(evidence, beta) if beta is not None and there else None

    def figures(self, model: Evidence, beta: Beta) -> Json:
        """The scores of a model that answered at `beta`; {"reason"} where they cannot be given."""
        at, alpha = self._suite(model, beta), self._alpha
        try:
            over = parity_difference(at.sides, self._merge.sides, alpha) if self._merge else None
            return {
                "q_global": interval_json(mean(at.sides.global_tasks)),
                "q_others": interval_json(mean(tuple(at.others.values())) if at.others else None),
                "q_regional": interval_json(mean(at.sides.regional_tasks)),
                "grp": interval_json(parity(at.sides, alpha)),
                "over_merge": interval_json(over),
            }
        except NotComparable as problem:
            return {"reason": problem.message}

    def _suite(self, evidence: Evidence, beta: Beta) -> Suite:
        kept = {cell: own for cell, own in evidence.outcomes.items() if cell.task in self.tasks}
        return suite(replace(evidence, outcomes=kept), beta, self.split, self._scale)


def _switch(compare: _Comparison) -> Json:
    evidence, split = compare.evidence, compare.split
    try:
        switch = Switch.of(evidence, split, compare.tasks)
    except NoSwitch as problem:
        return {"reason": problem.message}

    def figures(routes: Routes) -> Json:
        return compare.figures(switched(evidence, split, routes), BASE)

    found: Json = {
        "languages": list(switch.languages),
        "cue": not switch.no_cue,
        "reason": switch.no_cue or None,
        "upper_bound": {"by": "the data's labels of language", **figures(switch.labelled)},
    }
    if switch.routes is None:
        return found | {
            "reason": "the language of the prompts is not recorded",
            "cue": None,
            "routes": None,
            "recommended": False,
        }
    tallies = switch.tallies.values()
    to_adapter = sum(tally.to_adapter for tally in tallies)
    found |= figures(switch.routes)
    found["routes"] = {
        "to_base": sum(tally.prompts for tally in tallies) - to_adapter,
        "to_adapter": to_adapter,
        "misrouted": sum(tally.misrouted for tally in tallies),
        "by_language": {language: asdict(tally) for language, tally in switch.tallies.items()},
    }
    ahead = found.get("over_merge")
    found["recommended"] = bool(
        found["cue"] and ahead and "refusal" not in ahead and ahead["interval"][0] > 0
    )
    return found


def card_baselines(
    evidence: Evidence, beta: Beta, measured_by: Literal["self", "registry"]
) -> Baselines | None:
    """What a card records of the baselines beside the merge at `beta`; None where none was measured."""
    figures = baselines(evidence, beta)
    if "split" not in figures:
        return None
    found: Json = {}
    switch = figures["switch"]
    if switch.get("routes") and switch.get("over_merge"):
        routes = switch["routes"]
        found["switch"] = {
            "languages": switch["languages"],
            "cue": switch["cue"],
            "reason": switch["reason"] or "",
            "prompts": routes["to_base"] + routes["to_adapter"],
            "misrouted": routes["misrouted"],
            **_figures(switch),
        }
    for name in get_args(BaselineName):
        if figures.get(name, {}).get("over_merge"):
            sha256 = evidence.header.baselines[name].sha256
            found[name] = {**_figures(figures[name]), "predictions": sha256}
    if not found:
        return None
    return Baselines.model_validate(
        {
            "split": figures["split"],
            "scale": figures["scale"],
            "beta": beta_key(beta),
            "measured_by": measured_by,
            **found,
        }
    )


def recomputed_baselines(evidence: Evidence, recorded: Baselines) -> Json:
    """The same from the evidence of a card that records them, as JSON to compare it with."""
    found = card_baselines(evidence, read_key(recorded.beta), recorded.measured_by)
    return {} if found is None else found.model_dump(mode="json")


def _figures(entry: Json) -> Json:
    return {
        key: {
            "value": entry[key]["value"],
            "low": entry[key]["interval"][0],
            "high": entry[key]["interval"][1],
            "undetermined": "refusal" in entry[key],
        }
        for key in ("grp", "over_merge")
    }
