"""How complete a bill is, by the published rules of OWASP's AIBOM generator (owasp_fields.yaml).

A category gives its points in proportion to its fields that are present; missing critical and
important fields take a share of the sum. What is `unknown` is not present.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

RULES = Path(__file__).with_name("owasp_fields.yaml")
CRITICAL, IMPORTANT = 3, 2


@dataclass(frozen=True)
class Completeness:
    """The score, 0 to 100, and the fields that are missing, in the order of the rules."""

    score: float
    missing: tuple[str, ...]


@cache
def _rules() -> dict[str, Any]:
    rules: dict[str, Any] = yaml.load(RULES.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    return rules


def completeness(bill: Mapping[str, Any]) -> Completeness:
    """The completeness of a bill, of which its first component is scored."""
    present = set(_present(bill))
    missing: dict[str, int] = {}
    points = 0.0
    for category in _rules()["categories"].values():
        fields = category["fields"]
        absent = {name: tier for name, tier in fields.items() if name not in present}
        missing |= absent
        points += round((1 - len(absent) / len(fields)) * category["points"], 1)
    critical = sum(tier == CRITICAL for tier in missing.values())
    important = sum(tier == IMPORTANT for tier in missing.values())
    factor = 0.8 if critical > 3 else 0.9 if critical >= 2 else 1.0
    factor *= 0.95 if important >= 5 else 1.0
    return Completeness(min(round(points * factor, 1), 100.0), tuple(missing))


# Where the generator finds a field beside properties of that name.
PATHS = {
    "component_version": ("version",),
    "name": ("name",),
    "type": ("type",),
    "purl": ("purl",),
    "description": ("description",),
    "licenses": ("licenses",),
    "datasets": ("modelCard", "modelParameters", "datasets"),
    "typeOfModel": ("modelCard", "modelParameters", "modelArchitecture"),
    "ethicalConsiderations": ("modelCard", "considerations", "ethicalConsiderations"),
    "technicalLimitations": ("modelCard", "considerations", "technicalLimitations"),
    "safetyRiskAssessment": ("modelCard", "considerations", "ethicalConsiderations"),
    "energyConsumption": ("modelCard", "considerations", "environmentalConsiderations"),
}
REFERENCES = {
    "paper": {"documentation"},
    "vcs": {"vcs"},
    "website": {"website"},
    "downloadLocation": {"distribution", "website"},
}
CARD_PROPERTIES = {
    "genai:aibom:modelcard:hyperparameter": "hyperparameter",
    "genai:aibom:modelcard:modelCardExplainability": "modelExplainability",
}


def _present(bill: Mapping[str, Any]) -> Iterator[str]:
    component: Mapping[str, Any] = next(iter(bill.get("components", ())), {})
    yield from (name for name, value in bill.items() if _is_known(value))
    for place in (bill.get("metadata", {}), component):
        yield from (p["name"] for p in place.get("properties", ()) if _is_known(p.get("value")))
    for entry in component.get("modelCard", {}).get("properties", ()):
        if _is_known(entry.get("value")) and entry["name"] in CARD_PROPERTIES:
            yield CARD_PROPERTIES[entry["name"]]
    for name, path in PATHS.items():
        value: Any = component
        for key in path:
            value = value.get(key, {}) if isinstance(value, Mapping) else {}
        if _is_known(value):
            yield name
    types = {ref["type"] for ref in component.get("externalReferences", ()) if ref.get("url")}
    yield from (name for name, any_of in REFERENCES.items() if types & any_of)


def _is_known(value: object) -> bool:
    return value not in (None, "", "unknown", [], {})
