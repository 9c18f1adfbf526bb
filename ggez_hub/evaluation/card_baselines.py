"""The baselines of a measurement as a card holds them."""

from __future__ import annotations

from typing import Any, Literal, get_args

from ggez_hub.cards.baselines import Baselines
from ggez_hub.evaluation.baselines import baselines
from ggez_hub.evaluation.evidence import Evidence
from ggez_hub.evaluation.header import BaselineName
from ggez_hub.parity.betas import Beta, beta_key, read_key

Json = dict[str, Any]


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
