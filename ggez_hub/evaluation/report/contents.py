"""The contents of a report, recomputed from the predictions."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ggez_hub import __version__
from ggez_hub.cards.curve import Split
from ggez_hub.errors import GgezError, UsageProblem
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.answers.scores import NotComparable, mean_difference, score_of
from ggez_hub.evaluation.gates.outcome import Limits, gate_report
from ggez_hub.evaluation.gates.people import rows_beside
from ggez_hub.evaluation.report.examples import Material, examples
from ggez_hub.evaluation.results.breakdown import (
    Dimension,
    average_name,
    breakdown,
    parts_of,
    questions_in,
)
from ggez_hub.evaluation.results.evidence import Evidence
from ggez_hub.evaluation.results.figures import figures
from ggez_hub.evaluation.results.measured_curve import parity_curve, policies_of
from ggez_hub.parity.beta_choice import AlphaRange, alpha_ranges
from ggez_hub.parity.betas import Beta, as_json, from_json
from ggez_hub.parity.card_rows import NoCurve
from ggez_hub.parity.curve import ParityCurve
from ggez_hub.parity.moments import GLOBAL, REGIONAL
from ggez_hub.parity.policy import Policy
from ggez_hub.parity.seeds import seed_summary
from ggez_hub.regions import fallback_chain, find_region
from ggez_hub.regions.catalogue import WORLD, WORLD_BANK
from ggez_hub.regions.globalisation import alpha
from ggez_hub.regions.kof import load_series
from ggez_hub.regions.panel import panel

Json = dict[str, Any]
SELECT: Split = "validation"
REPORT: Split = "test"


def contents(
    evidence: Evidence,
    limits: Limits,
    material: Material | None = None,
    study: Path | None = None,
) -> Json:
    """The contents of a page; raises UsageProblem for material of other tasks.

    `study` is a folder with scores of people; without one those on a card are shown.
    """
    header, parts = evidence.header, evidence.header.parts
    found = figures(evidence)
    chosen = found["selection"]["beta"]
    base, beta = _compared_betas(evidence, None if chosen is None else from_json(chosen))
    parity = found["parity"].get(REPORT) or next(iter(found["parity"].values()))
    select, report = _curve(evidence, SELECT), _curve(evidence, REPORT)
    return {
        "region": {"id": header.region, "name": find_region(header.region).name},
        "alpha": header.alpha.model_dump(mode="json"),
        "generator": f"ggez-hub {__version__}",
        # Whose betas those of a point are, and the points in their order.
        "adapters": [adapter.name for adapter in header.adapters],
        "by_part": [
            f"Every beta is multiplied by part, as {parts.name} says.",
            *map(str, parts.parts),
        ]
        if parts
        else [],
        "points": [as_json(b) for b in sorted({cell.beta for cell in evidence.outcomes})],
        "problems": list(evidence.problems),
        "selection": found["selection"],
        "policies": [outcome.line() for outcome in policies_of(evidence)],
        "seeds": _seeds(evidence, report, beta),
        "parity": parity,
        "baselines": found["baselines"],
        "compared": {"base": None if base is None else as_json(base), "beta": as_json(beta)},
        "lines": {SELECT: _lines(select), REPORT: _lines(report)},
        "ranges": [
            {"beta": as_json(s.beta), "low": s.low, "high": s.high}
            for s in _ranges(select, Policy.parse(header.policy))
        ],
        "gates": None if base is None else _gates(evidence, limits, study),
        "people": [row.model_dump(mode="json") for row in rows_beside(evidence, study)],
        "years": _years(header.region),
        "tasks": _tasks(evidence, base, beta),
        "contamination": {
            key.rpartition("/")[0]: score.get("contamination", "contamination unknown")
            for rows in found["scores"].values()
            for key, score in rows.items()
        },
        "examples": examples(evidence, base, beta, parity.get("scale"), material),
    }


def _compared_betas(evidence: Evidence, chosen: Beta | None) -> tuple[Beta | None, Beta]:
    """What is shown beside each other: the base, None where one model was measured; and which beta.

    Where none is chosen it is that of the regional model, or the largest.
    """
    betas = sorted({cell.beta for cell in evidence.outcomes})
    if not betas:
        raise UsageProblem(f"{evidence.place} holds no answers", "There is nothing to report.")
    if len(betas) == 1:
        return None, betas[0]
    regional = 1.0 if 1.0 in betas else betas[-1]
    return evidence.base, regional if chosen is None else chosen


def _seeds(evidence: Evidence, report: ParityCurve | None, beta: Beta) -> list[str]:
    """What other seeds score at the same beta, where a card has them."""
    if report is None or evidence.document is None:
        return []
    card = evidence.document.card
    found = seed_summary(card, report, REPORT, beta, evidence.header.alpha.value)
    return found.lines() if found else []


def _curve(evidence: Evidence, split: Split) -> ParityCurve | None:
    try:
        return parity_curve(evidence, split)
    except NoCurve:
        return None


def _ranges(curve: ParityCurve | None, policy: Policy) -> tuple[AlphaRange, ...]:
    try:
        return alpha_ranges(curve, policy) if curve else ()
    except NoCurve:
        return ()


def _lines(curve: ParityCurve | None) -> list[Json]:
    """GRP of each beta as a line over alpha: its value at 1 and at 0, with their errors."""
    if curve is None:
        return []
    moments = curve.moments
    return [
        {
            "beta": as_json(beta),
            "at_one": float(moments.means[GLOBAL, index]),
            "at_zero": float(moments.means[REGIONAL, index]),
            "se_one": math.sqrt(moments.covariance[GLOBAL, index, GLOBAL, index]),
            "se_zero": math.sqrt(moments.covariance[REGIONAL, index, REGIONAL, index]),
            "covariance": float(moments.covariance[GLOBAL, index, REGIONAL, index]),
        }
        for index, beta in enumerate(curve.betas)
    ]


def _gates(evidence: Evidence, limits: Limits, study: Path | None) -> Json:
    try:
        return gate_report(evidence, limits, study=study).as_dict()
    except GgezError as problem:
        return {"outcome": "undetermined", "reason": problem.message, "gates": []}


def _years(region_id: str) -> list[Json]:
    """alpha over the years: of the region, what it falls back to, and the World Bank's regions."""
    series = load_series()
    nearest = [r.id for r in fallback_chain(find_region(region_id))]
    years = range(series.first_year, series.last_year + 1)
    return [
        {
            "id": name,
            "name": find_region(name).name,
            "own": name in nearest,
            "first": series.first_year,
            # A year in which another group's value would stand in is left open.
            "values": [
                None if v.fallback else v.value for v in (alpha(name, year) for year in years)
            ],
            "panel": _fixed_panel(name) if name in nearest else None,
        }
        for name in dict.fromkeys([*nearest, "southeast-asia", *WORLD_BANK, WORLD])
    ]


def _fixed_panel(region_id: str) -> Json | None:
    """The region's alpha over the countries with a value in every year, and who entered and left.

    None for a single country, and where the countries never change or are unknown.
    """
    try:
        found = panel(region_id)
    except UsageProblem:
        return None
    if find_region(region_id).is_country or not found.breaks:
        return None
    return {
        "members": list(found.members),
        "values": [year.panel for year in found.years],
        "breaks": [
            {"year": year.year, "entered": list(year.entered), "left": list(year.left)}
            for _, year in found.breaks
        ],
    }


def _tasks(evidence: Evidence, base_beta: Beta | None, beta: Beta) -> list[Json]:
    """Every task on the report side, and below it each country, language and category where it has several."""
    rows = []
    base = {} if base_beta is None else evidence.tasks_at(base_beta, REPORT)
    merged = evidence.tasks_at(beta, REPORT)
    for name, record in sorted(evidence.header.tasks.items(), key=lambda t: (t[1].side, t[0])):
        both = base.get(name), merged.get(name)
        about: Json = {
            "side": record.side,
            "scale": record.scale,
            "language": record.language,
            "regions": record.regions,
        }
        average = average_name(record.average)
        rows.append({"task": name, "average": average, **about, **_compared(*both)})
        for dimension, as_column in PARTS.items():
            before, after = (
                parts_of(questions_in(outcomes, dimension), dimension) if outcomes else {}
                for outcomes in both
            )
            names = sorted({*before, *after})
            if len(names) < 2:
                continue
            rows += [
                {
                    "task": f"{name}: {part}",
                    **about,
                    **as_column(part),
                    **_compared(before.get(part), after.get(part)),
                }
                for part in names
            ]
            means = dict(zip(("base", "merged"), (_macro(o, dimension) for o in both), strict=True))
            rows.append(
                {"task": f"{name}: mean over {dimension}", **about, **means, "difference": None}
            )
    return rows


# A dimension, and the column that one of its parts fills in the table.
PARTS: Mapping[Dimension, Callable[[str], Json]] = {
    "countries": lambda country: {"regions": [country]},
    "languages": lambda language: {"language": language},
    "categories": lambda category: {"category": category},
}


def _macro(outcomes: Outcomes | None, dimension: Dimension) -> Json | None:
    """The mean over the parts, in which each counts alike."""
    found = breakdown(outcomes, dimension) if outcomes else None
    if found is None or found.macro is None:
        return None
    macro = found.macro
    return {"value": macro.value, "low": macro.low, "high": macro.high, "at_chance": False}


def _compared(base: Outcomes | None, merged: Outcomes | None) -> Json:
    row: Json = {
        "base": _score(base) if base else None,
        "merged": _score(merged) if merged else None,
    }
    try:
        change = mean_difference([merged], [base]) if base and merged else None
    except NotComparable:
        change = None
    return {**row, "difference": change and [change.value, change.low, change.high]}


def _score(outcomes: Outcomes) -> Json:
    score = score_of(outcomes)
    keys = ("low", "high", "n", "floor", "missing", "unparsed", "at_chance")
    return {"value": score.score, **{key: getattr(score, key) for key in keys}}
