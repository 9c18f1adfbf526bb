"""A results folder: `results.json`, whose every figure follows from the predictions beside it.

header     what decides the figures: region, alpha with provenance, tasks, digests
scores     beta -> `<task>/<split>` -> score, interval, chance-corrected, by country ...
parity     split -> beta -> Q_global, Q_others, Q_regional, GRP; or why there is none, and Pareto
selection  beta, how sure the choice is, and what it is worth
baselines  what stands beside the merge: the switch, averaged outputs, a joint fine-tune

Of a composition a key is "0.25+0.5" and a beta [0.25, 0.5], in the order of the header's `adapters`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ggez_hub.evaluation.baselines import baselines
from ggez_hub.evaluation.betas import as_json, beta_key, from_json, rule_for
from ggez_hub.evaluation.breakdown import breakdowns
from ggez_hub.evaluation.choosing import (
    FEW_ITEMS,
    REPORT,
    SELECT,
    choose_from,
    cross_fit,
    items_of,
    probabilities,
    sides_by_beta,
)
from ggez_hub.evaluation.comparison import Estimate, NotComparable, mean
from ggez_hub.evaluation.evidence import RESULTS, Evidence
from ggez_hub.evaluation.header import (
    PREDICTIONS,
    AdapterRecord,
    BaselineName,
    BaselineRecord,
    Header,
)
from ggez_hub.evaluation.joint import joint_trade
from ggez_hub.evaluation.leakage import contamination
from ggez_hub.evaluation.outcomes import Cell, Outcomes
from ggez_hub.evaluation.predictions import write_predictions
from ggez_hub.evaluation.quantities import (
    NoScale,
    Suite,
    common_scale,
    pareto,
    quantities,
    suite,
)
from ggez_hub.evaluation.scores import Score, score_of
from ggez_hub.evaluation.selection import NoCurve
from ggez_hub.regions import find_region

Json = dict[str, Any]
DEPTHS = (5, 10)


@dataclass(frozen=True, eq=False)
class MeasuredBaseline:
    """What one more model beside the grid answered; `adapter` is whose it is, if it is another one."""

    model: str
    outcomes: Mapping[Cell, Outcomes]
    adapter: AdapterRecord | None = None

    def record(self, sha256: str, name: BaselineName) -> BaselineRecord:
        """As a header has it, with the sha256 of its answers."""
        return BaselineRecord(
            predictions=f"{name}.parquet", sha256=sha256, model=self.model, adapter=self.adapter
        )


def write_results(
    folder: Path,
    header: Json,
    outcomes: Mapping[Cell, Outcomes],
    measured: Mapping[BaselineName, MeasuredBaseline] | None = None,
) -> Evidence:
    """Write predictions and every figure that follows from them into `folder`.

    header: the fields of Header but for digests of predictions and for baselines, which are `measured`.
    The folder may be there already.
    """
    folder.mkdir(parents=True, exist_ok=True)
    sha256 = write_predictions(folder / PREDICTIONS, outcomes)
    records = {
        name: found.record(write_predictions(folder / f"{name}.parquet", found.outcomes), name)
        for name, found in (measured or {}).items()
    }
    full = Header.model_validate({**header, "baselines": records, "sha256": sha256})
    answers = {name: found.outcomes for name, found in (measured or {}).items()}
    evidence = Evidence(folder, full, outcomes, baselines=answers)
    content = {"header": evidence.header.model_dump(mode="json"), **figures(evidence)}
    partial = folder / f".{RESULTS}.partial"
    partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    partial.replace(folder / RESULTS)
    return evidence


def figures(evidence: Evidence) -> Json:
    """Every figure of a results folder, from header and predictions alone."""
    leaks = contamination(evidence.header)
    scores: dict[str, Json] = {}
    for cell in sorted(evidence.outcomes):
        outcomes = evidence.outcomes[cell]
        key = f"{cell.task}/{cell.split}"
        scores.setdefault(beta_key(cell.beta), {})[key] = (
            {
                **_score(outcomes),
                **_recall(outcomes, evidence.header.tasks[cell.task].metric),
                "contamination": leaks[cell.task],
            }
            if len(outcomes)
            else {"n": 0, "missing": len(outcomes.missing)}
        )
    splits = sorted({cell.split for cell in evidence.outcomes})
    selection = _selection(evidence)
    beta = selection["beta"]
    return {
        "scores": scores,
        "parity": {split: _parity(evidence, split) for split in splits},
        "selection": selection,
        "baselines": baselines(evidence, None if beta is None else from_json(beta)),
    }


def _score(outcomes: Outcomes) -> Json:
    score = score_of(outcomes)
    found: Json = {**_plain(score), "normalised": score.normalised}
    found["normalised_interval"] = [score.normalised_low, score.normalised_high]
    found["at_chance"] = score.at_chance
    for dimension, parts in breakdowns(outcomes).items():
        found[dimension] = {
            "micro": parts.micro,
            "macro": _estimate(parts.macro),
            "unknown": parts.unknown,
            "parts": {name: _plain(part) for name, part in parts.parts.items()},
        }
    return found


def _recall(outcomes: Outcomes, metric: str) -> Json:
    """Recall at 5 and at 10 beside that at 1, which is the score of a search."""
    if not metric.endswith("_r1"):
        return {}
    found: Json = {}
    for depth in DEPTHS:
        score = score_of(
            replace(
                outcomes,
                correct=outcomes.rank <= depth,
                chance=np.minimum(1.0, depth * outcomes.chance),
            )
        )
        found[f"recall_at_{depth}"] = {
            "score": score.score,
            "se": score.se,
            "interval": [score.low, score.high],
            "floor": score.floor,
        }
    return found


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


def _estimate(value: Estimate | None) -> Json | None:
    if value is None:
        return None
    return {"value": value.value, "se": value.se, "interval": [value.low, value.high]}


def _parity(evidence: Evidence, split: str) -> Json:
    betas = evidence.betas(split)
    alpha = evidence.header.alpha.value
    try:
        scale = common_scale(evidence.header.tasks, evidence.tasks_at(betas[0], split))
        points = _points(evidence, split, scale)
    except (NoScale, NotComparable) as problem:
        return {"grp": None, "reason": problem.message, "pareto": _pareto(evidence, split)}
    return {"alpha": alpha, "scale": scale, "points": points}


def _points(evidence: Evidence, split: str, scale: str) -> Json:
    alpha = evidence.header.alpha.value
    points = {}
    for beta in evidence.betas(split):
        at = suite(evidence, beta, split, scale)
        if not (at.world and at.regional):
            continue
        found = quantities(at, alpha)
        points[beta_key(beta)] = {
            "q_global": _estimate(found.q_global),
            "q_others": _estimate(found.q_others),
            "q_regional": _estimate(found.q_regional),
            "grp": _estimate(found.grp),
            "grp_raw": _estimate(found.grp_raw),
            "regional_items_in_global": at.inside,
            "items_without_country": at.unplaced,
            **_by_adapter(evidence, at),
        }
    return points


def _by_adapter(evidence: Evidence, at: Suite) -> Json:
    """Of a composition Q_regional on the tasks of each adapter's own region: shown, not weighed.

    A region that is the whole side, or no part of it, has none.
    """
    header = evidence.header
    if len(header.adapters) < 2:
        return {}
    found = {}
    for region in dict.fromkeys(adapter.region for adapter in header.adapters):
        if region in ("unknown", header.region):
            continue
        members = set(find_region(region).members)
        own = [
            outcomes
            for name, outcomes in at.regional.items()
            if (about := header.tasks[name].regions)
            and all(set(find_region(r).members) <= members for r in about)
        ]
        if 0 < len(own) < len(at.regional):
            found[region] = _estimate(mean(own))
    return {"q_regional_of": found}


def _pareto(evidence: Evidence, split: str) -> list[Json]:
    try:
        vectors = pareto(evidence, split)
    except NotComparable:
        # A side with one picture has scores, but no interval to compare them by.
        return []
    return [
        {
            "beta": as_json(vector.beta),
            "scores": [
                {"side": side, "scale": scale, **(_estimate(value) or {})}
                for (side, scale), value in sorted(vector.scores.items())
            ],
            "dominated_by": [as_json(beta) for beta in vector.dominated_by],
        }
        for vector in vectors
    ]


def _selection(evidence: Evidence) -> Json:
    try:
        return _chosen(evidence)
    except (NoCurve, NotComparable) as problem:
        return {"beta": None, "reason": problem.message}


def _chosen(evidence: Evidence) -> Json:
    alpha = evidence.header.alpha.value
    seen = joint_trade(evidence, SELECT)
    by_beta = sides_by_beta(evidence, (SELECT,), seen.metric, seen.at_chance)
    found: Json = {
        "beta": as_json(seen.chosen.beta),
        "best": as_json(seen.best.beta),
        "rule": rule_for(seen.chosen.beta),
        "select": SELECT,
        "scale": seen.metric,
        "at_chance": list(seen.at_chance),
        "items": items_of(by_beta),
        "probabilities": {
            beta_key(beta): p
            for beta, p in probabilities(
                by_beta, alpha, {p.beta: p.se for p in seen.points}
            ).items()
        },
    }
    if items_of(by_beta) < FEW_ITEMS and evidence.betas(REPORT):
        both = sides_by_beta(evidence, (SELECT, REPORT), seen.metric, seen.at_chance)
        fitted = cross_fit(both, alpha)
        found |= {
            "beta": as_json(choose_from(both, alpha)),
            "select": "cross-fitted by picture",
            "folds": [as_json(beta) for beta in fitted.folds],
            "grp": _estimate(fitted.grp),
            "over_base": _estimate(fitted.over_base),
        }
    return found
