"""A results folder: `results.json`, whose every figure follows from its predictions.

header     what decides the figures: region, alpha with provenance, tasks, digests
scores     beta -> `<task>/<split>` -> score, interval, chance-corrected, by country ...; of one model
           alone `<task>/all` too
parity     split -> beta -> Q_global, Q_others, Q_regional, GRP, what is kept and gained; or why there
           is none, and Pareto
selection  the beta of the recipe's policy, and of each policy with what it keeps and gains on validation
baselines  what the merge is compared with: the switch, averaged outputs, a joint fine-tune
safety     where it was asked: task -> beta -> language -> score, and what changed from the base

Of a composition a key is "0.25+0.5" and a beta [0.25, 0.5], in the order of the header's `adapters`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np

from ggez_hub.atomic_files import write_file
from ggez_hub.cards.values import UNKNOWN
from ggez_hub.evaluation.answers.outcomes import Answers, Cell, Outcomes
from ggez_hub.evaluation.answers.predictions import write_predictions
from ggez_hub.evaluation.answers.scores import NotComparable, Score, mean, score_of
from ggez_hub.evaluation.benchmarks.drawing_scores import script_figures
from ggez_hub.evaluation.results.baselines import baselines
from ggez_hub.evaluation.results.breakdown import Suite, average_name, breakdowns, pareto, suite
from ggez_hub.evaluation.results.closed_part import CLOSED, Closing, closed_part, divide
from ggez_hub.evaluation.results.evidence import RESULTS, Evidence
from ggez_hub.evaluation.results.header import (
    PREDICTIONS,
    AdapterRecord,
    BaselineName,
    BaselineRecord,
    Header,
)
from ggez_hub.evaluation.results.leakage import contamination
from ggez_hub.evaluation.results.measured_curve import parity_curve, policies_of
from ggez_hub.evaluation.results.safety import safety_figures
from ggez_hub.parity.betas import as_json, beta_key, from_json
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.effects import effects
from ggez_hub.parity.intervals import estimate_grp, estimate_score, interval_json
from ggez_hub.parity.moments import GLOBAL, OTHERS, REGIONAL
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.screening import state_of
from ggez_hub.regions import find_region

Json = dict[str, Any]
DEPTHS = (5, 10)
# In place of a split: all questions of a task.
ALL = "all"


@dataclass(frozen=True, eq=False)
class MeasuredBaseline:
    """What one more model beside the grid answered; `adapter` is whose it is, if it is another one."""

    model: str
    outcomes: Answers
    adapter: AdapterRecord | None = None


def write_results(
    folder: Path,
    header: Json,
    outcomes: Answers,
    measured: Mapping[BaselineName, MeasuredBaseline] | None = None,
    closing: Closing | None = None,
) -> Evidence:
    """Write predictions and every figure that follows from them into `folder`.

    header: the fields of Header but for digests of predictions and for baselines, which are `measured`.
    The folder may be there already. With `closing` the closed answers go to the folder that it keeps,
    and of them only aggregates into `folder`; those of baselines go nowhere.
    """
    folder.mkdir(parents=True, exist_ok=True)
    closed: Answers = {}
    if closing is not None:
        outcomes, closed = divide(outcomes, closing.rule)
        measured = {
            name: replace(found, outcomes=divide(found.outcomes, closing.rule)[0])
            for name, found in (measured or {}).items()
        }
    sha256 = write_predictions(folder / PREDICTIONS, outcomes)
    records = {
        name: BaselineRecord(
            predictions=(file := f"{name}.parquet"),
            sha256=write_predictions(folder / file, found.outcomes),
            model=found.model,
            adapter=found.adapter,
        )
        for name, found in (measured or {}).items()
    }
    full = Header.model_validate({**header, "baselines": records, "sha256": sha256})
    answers = {name: found.outcomes for name, found in (measured or {}).items()}
    evidence = Evidence(folder, full, outcomes, baselines=answers)
    if closing is not None:
        kept = write_predictions(closing.keep / CLOSED, closed)
        part = closed_part(evidence, closed, closing.rule, kept)
        evidence = replace(evidence, header=full.model_copy(update={"closed": part}))
    content = {"header": evidence.header.model_dump(mode="json"), **figures(evidence)}
    write_file(folder / RESULTS, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return evidence


def figures(evidence: Evidence) -> Json:
    """Every figure of a results folder, from header and predictions alone."""
    leaks = contamination(evidence.header)
    scores: dict[str, Json] = {}
    cells = [*evidence.outcomes.items(), *_both_sides(evidence)]
    for cell, outcomes in sorted(cells, key=lambda pair: pair[0]):
        key = f"{cell.task}/{cell.split}"
        scores.setdefault(beta_key(cell.beta), {})[key] = (
            {
                **_score(outcomes),
                **_recall(outcomes, evidence.header.tasks[cell.task].metric),
                **_as_script(outcomes),
                "contamination": leaks[cell.task],
            }
            if len(outcomes)
            else {"n": 0, "missing": len(outcomes.missing)}
        )
    safety = safety_figures(evidence)
    splits = sorted({cell.split for cell in evidence.outcomes})
    selection = _selection(evidence)
    beta = selection["beta"]
    return {
        "scores": scores,
        "parity": {split: _parity(evidence, split) for split in splits},
        "selection": selection,
        "baselines": baselines(evidence, None if beta is None else from_json(beta)),
        **({"safety": safety} if safety else {}),
    }


def _both_sides(evidence: Evidence) -> list[tuple[Cell, Outcomes]]:
    """Every task on all its questions, where nothing was chosen by the answers to some of them."""
    if len({cell.beta for cell in evidence.outcomes}) > 1:
        return []
    of_task: dict[Cell, list[Outcomes]] = {}
    for cell, outcomes in sorted(evidence.outcomes.items(), key=lambda pair: pair[0]):
        of_task.setdefault(Cell(cell.beta, cell.task, ALL), []).append(outcomes)
    return [
        (cell, reduce(Outcomes.joined, splits))
        for cell, splits in of_task.items()
        if len(splits) > 1
    ]


def _score(outcomes: Outcomes) -> Json:
    score = score_of(outcomes)
    return {
        **_plain(score),
        "average": average_name(outcomes.average),
        "normalised": score.normalised,
        "normalised_interval": list(score.normalised_interval),
        "at_chance": score.at_chance,
        "state": state_of(score.low, score.high, score.floor),
        **{
            dimension: {
                "micro": parts.micro,
                "macro": interval_json(parts.macro),
                "unknown": parts.unknown,
                "parts": {name: _plain(part) for name, part in parts.parts.items()},
            }
            for dimension, parts in breakdowns(outcomes).items()
        },
    }


def _recall(outcomes: Outcomes, metric: str) -> Json:
    """Recall at 5 and at 10 beside that at 1, which is the score of a search."""
    if not metric.endswith("_r1"):
        return {}
    found: Json = {}
    for depth in DEPTHS:
        chance = np.minimum(1.0, depth * outcomes.chance)
        score = _plain(score_of(replace(outcomes, correct=outcomes.rank <= depth, chance=chance)))
        keys = ("score", "se", "interval", "floor")
        found[f"recall_at_{depth}"] = {key: score[key] for key in keys}
    return found


def _as_script(outcomes: Outcomes) -> Json:
    """What DPG-Bench's own script computes, beside the score, which is the rule's."""
    found = script_figures(outcomes)
    if found is None:
        return {}
    categories = {name: _plain(score) for name, score in found.categories.items()}
    return {"ella_script": {**_plain(found.score), "categories": categories}}


def _plain(score: Score) -> Json:
    return {
        "score": score.score,
        "n": score.n,
        "se": score.se,
        "interval": [score.low, score.high],
        "floor": score.floor,
        "pictures": score.pictures,
        "missing": score.missing,
        "unparsed": score.unparsed,
    }


def _parity(evidence: Evidence, split: str) -> Json:
    alpha = evidence.header.alpha.value
    try:
        curve = parity_curve(evidence, "test" if split == "test" else "validation")
    except NoCurve as problem:
        try:
            table = pareto(evidence, split)
        except NotComparable:
            table = []
        return {"grp": None, "reason": problem.message, "pareto": table}
    return {
        "alpha": alpha,
        "scale": curve.scale,
        "at_chance": list(curve.at_chance),
        "clustered": curve.is_joint,
        "points": {
            beta_key(beta): _point(evidence, curve, split, index)
            for index, beta in enumerate(curve.betas)
        },
    }


def _point(evidence: Evidence, curve: ParityCurve, split: str, index: int) -> Json:
    alpha = evidence.header.alpha.value
    beta = curve.betas[index]
    at = suite(evidence, beta, split, curve.scale)
    return {
        "q_global": interval_json(estimate_score(curve.moments, GLOBAL, index)),
        "q_others": (
            interval_json(estimate_score(curve.moments, OTHERS, index))
            if curve.has_others
            else None
        ),
        "q_regional": interval_json(estimate_score(curve.moments, REGIONAL, index)),
        "grp": interval_json(estimate_grp(curve.moments, alpha, index)),
        "grp_raw": curve.grp_raw(index, alpha),
        **effects(curve, index, alpha, Policy.parse(evidence.header.policy).share).as_dict(),
        "regional_items_in_global": at.inside,
        "items_without_country": at.unplaced,
        **_by_adapter(evidence, at),
    }


def _by_adapter(evidence: Evidence, at: Suite) -> Json:
    """Of a composition Q_regional on the tasks of each adapter's own region: shown, not weighed.

    A region that is the whole side, or no part of it, has none.
    """
    header = evidence.header
    if len(header.adapters) < 2:
        return {}
    found = {}
    for region in dict.fromkeys(adapter.region for adapter in header.adapters):
        if region in (UNKNOWN, header.region):
            continue
        members = set(find_region(region).members)
        own = [
            outcomes
            for name, outcomes in at.regional.items()
            if (about := header.tasks[name].regions)
            and all(set(find_region(r).members) <= members for r in about)
        ]
        if 0 < len(own) < len(at.regional):
            try:
                found[region] = interval_json(mean(own))
            except NotComparable:
                # One picture gives no interval.
                continue
    return {"q_regional_of": found}


def _selection(evidence: Evidence) -> Json:
    """The choice of the recipe's policy, and that of each policy beside it."""
    own = Policy.parse(evidence.header.policy)
    outcomes = policies_of(evidence)
    (taken,) = (outcome for outcome in outcomes if outcome.policy == own)
    chosen = taken.choice
    return {
        "policy": str(own),
        "beta": None if chosen is None else as_json(chosen.point),
        "reason": taken.reason,
        **(_about(chosen.curve) if chosen else {}),
        "policies": {str(outcome.policy): outcome.as_dict() for outcome in outcomes},
    }


def _about(curve: ParityCurve) -> Json:
    return {
        "select": "validation",
        "scale": curve.scale,
        "at_chance": list(curve.at_chance),
        "pictures": {
            name: pictures or None
            for name, pictures in zip(
                ("global", "others", "regional"), curve.moments.pictures, strict=True
            )
        },
    }
