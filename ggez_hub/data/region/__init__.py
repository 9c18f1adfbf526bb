"""F_rf(x, r): evidence that an example is of a region, and how pieces of it are combined.

Each piece is a small stage that returns True, or (False, reason).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from ggez_hub.data.region.base import Evidence, Verdict
from ggez_hub.data.region.combination import Combination
from ggez_hub.data.region.gazetteer import Gazetteer
from ggez_hub.data.region.language import Identified
from ggez_hub.data.region.metadata import Metadata
from ggez_hub.data.region.script import Script
from ggez_hub.data.spec import (
    GazetteerRule,
    LanguageRule,
    MetadataRule,
    RegionFilter,
    ScriptRule,
)
from ggez_hub.regions import find_region

__all__ = ["Combination", "Evidence", "Verdict", "combination"]


def combination(spec: RegionFilter, region: str, folder: Path) -> Combination:
    """The rules of a spec, ready; raises BadRule for a language or a file that is not there.

    Rules on pictures need a model: they are left pending here and decided later.
    """
    members = find_region(region).members
    stages: dict[str, Callable[..., Evidence]] = {
        "metadata": lambda rule: _metadata(rule, members),
        "language": _language,
        "script": _script,
        "gazetteer": lambda rule: _gazetteer(rule, members, folder),
    }
    evidence = tuple(stages[rule.evidence](rule) for rule in spec.rules if rule.evidence in stages)
    return Combination(evidence, spec.needed, pending=len(spec.rules) - len(evidence))


def _metadata(rule: MetadataRule, members: tuple[str, ...]) -> Evidence:
    return Metadata(frozenset(members), tuple(rule.fields))


def _language(rule: LanguageRule) -> Evidence:
    return Identified.of(rule.languages, rule.confidence)


def _script(rule: ScriptRule) -> Evidence:
    return Script(frozenset(rule.scripts), rule.share)


def _gazetteer(rule: GazetteerRule, members: tuple[str, ...], folder: Path) -> Evidence:
    places = folder / rule.places if rule.places else None
    return Gazetteer.of(members, rule.names_in, rule.languages, places)
