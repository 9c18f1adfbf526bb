"""Licences against published judgements: LISCAN.AI's rules and lists, and OSADL's matrix.

A case is a pair: may a work under one licence, alone, be made of one under another? Ours says no where the upstream
licence binds derived works to what the downstream one does not say (`ggez_hub.registry.licences.unsaid`). Precision and
recall are those of "incompatible". Where ours comes from, `licences.yaml` beside this, says what could not be read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from ggez_hub.registry.licences import Duty, table, unsaid

CASES = Path(__file__).with_suffix(".yaml")
# LISCAN.AI's terms in our words; any of several will do. Anti-distillation is one of the limits.
TERMS: dict[str, tuple[Duty, ...]] = {
    "Include License": ("notice", "pass_on_terms"),
    "Trademark Notice": ("naming",),
    "Ethical Constraints": ("use_restrictions",),
    "Commercial Scale Limit": ("limits", "non_commercial"),
    "Anti-Distillation": ("limits",),
    "Pass-through Restriction": ("pass_on_terms",),
    "Reciprocal Obligation": ("share_alike",),
    "Disclose Source": ("source",),
}
DISTILLATION = "No improving of other large language models"


@dataclass(frozen=True)
class Case:
    """A pair that somebody has judged."""

    source: str
    downstream: str
    upstream: str
    compatible: bool
    terms: tuple[str, ...] = ()

    @property
    def known(self) -> bool:
        """Whether our table has both licences."""
        return all(_id(name) in table().licences for name in (self.downstream, self.upstream))

    @property
    def ours(self) -> bool:
        """Whether ours calls it compatible."""
        return not unsaid(_id(self.downstream), _id(self.upstream))

    def unfound(self) -> list[str]:
        """The terms that neither licence has in our table."""
        licences = [table().licences[_id(name)] for name in (self.downstream, self.upstream)]
        asked = {duty for licence in licences for duty in licence.asks}
        said = " ".join(licence.details.get("limits", "") for licence in licences)
        return [
            term
            for term in self.terms
            if not asked & set(TERMS[term])
            or (term == "Anti-Distillation" and DISTILLATION not in said)
        ]


def _id(name: str) -> str:
    return table().aliases.get(name, name)


def cases() -> Iterator[Case]:
    """All cases, by source."""
    data: dict[str, Any] = yaml.safe_load(CASES.read_text(encoding="utf-8"))
    for below, judged in data["rules"].items():
        for above, compatible in judged.items():
            for downstream in data["types"][below]:
                for upstream in data["types"][above]:
                    yield Case("LISCAN.AI, rules", downstream, upstream, compatible)
    for downstream, upstream, terms in data["common"]:
        yield Case("LISCAN.AI, common", downstream, upstream, compatible=False, terms=tuple(terms))
    for downstream, upstream in data["ranking"]:
        yield Case("LISCAN.AI, ranking", downstream, upstream, compatible=False)
    for downstream, judged in data["osadl"].items():
        for compatible, others in judged.items():
            for upstream in others:
                yield Case("OSADL", downstream, upstream, compatible)


def report() -> Iterator[str]:
    """A line of figures for each source, then all that differs and all that ours lacks."""
    found = list(cases())
    differ = [case for case in found if case.known and case.ours != case.compatible]
    for source in dict.fromkeys(case.source for case in found):
        own = [case for case in found if case.source == source and case.known]
        hits = sum(not case.compatible and not case.ours for case in own)
        called, actual = (sum(not flag for flag in flags) for flags in _flags(own))
        unknown = sum(case.source == source and not case.known for case in found)
        lacking = f"; {unknown} of licences that ours lacks" if unknown else ""
        yield (
            f"{source:20}{len(own):4} cases  precision {hits}/{called} ({hits / called:.3f})  "
            f"recall {hits}/{actual} ({hits / actual:.3f}){lacking}"
        )
    terms = [(case, term) for case in found for term in case.terms]
    missed = [
        f"{term}: {c.downstream} from {c.upstream}" for c, term in terms if term in c.unfound()
    ]
    yield f"terms named by LISCAN.AI: {len(terms) - len(missed)}/{len(terms)} are in ours"
    for text in missed:
        yield f"  lacks {text}"
    compatible = {(c.downstream, c.upstream) for c in found if c.compatible}
    for case in differ:
        pair = (case.downstream, case.upstream)
        said = ", ".join(unsaid(*map(_id, pair))) or "compatible"
        others = "" if case.compatible or pair not in compatible else ", and another source"
        yield f"  differs {case.downstream} from {case.upstream} ({case.source}): ours{others} {said}"


def _flags(own: list[Case]) -> tuple[list[bool], list[bool]]:
    return [case.ours for case in own], [case.compatible for case in own]


def main() -> None:
    """Print the report."""
    for line in report():
        print(line)
