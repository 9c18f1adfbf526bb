"""The paper's headline claims, from its printed tables.

"5 to 15 % better on the region's cultural metrics, over 98 % of the global score kept": both are ratios
of an adapted model's figure to its base's. Every printed number is an interval of its rounding, so a ratio
is one too, and a claim may be undecidable within it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from ggez_hub.paper.tables import Figure, Tables, tables

Verdict = Literal["holds", "does not hold", "not decidable within rounding"]
ClaimName = Literal["gain", "kept"]
Role = Literal["headline", "part", "outside", "people"]


@dataclass(frozen=True)
class Claim:
    """What is claimed of a per cent: a range, whose ends are part of it unless `is_over`."""

    name: ClaimName
    text: str
    low: Fraction
    high: Fraction | None = None
    is_over: bool = False

    def verdict(self, percent: Figure) -> Verdict:
        """Whether every, no, or only some value that rounding allows is in the range."""
        inside = [self._has(end) for end in (percent.low, percent.high)]
        if all(inside):
            return "holds"
        beyond = self.high is not None and percent.low > self.high
        below = percent.high <= self.low if self.is_over else percent.high < self.low
        return "does not hold" if beyond or below else "not decidable within rounding"

    def _has(self, value: Fraction) -> bool:
        above = value > self.low if self.is_over else value >= self.low
        return above and (self.high is None or value <= self.high)


GAIN = Claim("gain", "+5 to 15 % on the region's cultural metrics", Fraction(5), Fraction(15))
KEPT = Claim("kept", "over 98 % of the global score kept", Fraction(98), is_over=True)


@dataclass(frozen=True)
class Measure:
    """A column of a table, or the plain mean of several.

    role  `headline`: what the claim is of; `part`: one task or kind of it; `outside`: without the region's
          items; `people`: raters' ranks, of which a ratio is not a share of quality
    """

    claim: Claim
    role: Role
    table: str
    columns: tuple[str, ...]
    label: str

    def figure(self, row: str, every: Tables) -> Figure:
        share = Fraction(1, len(self.columns))
        cells = every[self.table].rows[row]
        return Figure.weighted((share, cells[column]) for column in self.columns)


@dataclass(frozen=True)
class Family:
    """A base of the paper: its row, the row of the beta that the paper takes, and what is measured."""

    name: str
    base: str
    chosen: str
    measures: tuple[Measure, ...]


@dataclass(frozen=True)
class ClaimFinding:
    """One claim on one measure of one adapted model.

    base, adapted   the two figures
    percent         of a gain: 100 * (adapted / base - 1); of what is kept: 100 * adapted / base
    """

    family: Family
    row: str
    measure: Measure
    base: Figure
    adapted: Figure
    percent: Figure

    @property
    def verdict(self) -> Verdict:
        return self.measure.claim.verdict(self.percent)

    @property
    def is_chosen(self) -> bool:
        return self.row == self.family.chosen

    def as_dict(self) -> dict[str, Any]:
        return {
            "family": self.family.name,
            "claim": self.measure.claim.name,
            "claimed": self.measure.claim.text,
            "role": self.measure.role,
            "table": self.measure.table,
            "measure": self.measure.label,
            "columns": list(self.measure.columns),
            "base": self.family.base,
            "row": self.row,
            "chosen": self.is_chosen,
            "base_figure": self.base.as_dict(),
            "figure": self.adapted.as_dict(),
            "percent": self.percent.as_dict(),
            "verdict": self.verdict,
        }


def _gain(role: Role, table: str, label: str, *columns: str) -> Measure:
    return Measure(GAIN, role, table, columns, label)


def _kept(role: Role, table: str, label: str, *columns: str) -> Measure:
    return Measure(KEPT, role, table, columns, label)


VLM = Family(
    "VLM",
    "Google Gemma-3",
    "SEA-Gemma-3 10%",
    (
        _gain("headline", "1", "SEA average", "sea_avg"),
        _gain("part", "1", "WorldCuisines, SEA", "sea_WC"),
        _gain("part", "1", "CVQA, SEA", "sea_CVQA"),
        _gain("part", "1", "SEA-VQA", "sea_SEAVQA"),
        _gain("people", "2", "average rank, SEA", "sea"),
        _kept("headline", "1", "global average", "global_avg"),
        _kept("part", "1", "WorldCuisines, global", "global_WC"),
        _kept("part", "1", "CVQA, global", "global_CVQA"),
        _kept("people", "2", "average rank, global", "global"),
    ),
)
DIFFUSION = Family(
    "diffusion",
    "StabilityAI SDXL",
    "SEA-SDXL 25%",
    (
        _gain("headline", "4", "correctness", "c_overall"),
        _gain("headline", "4", "naturalness", "n_overall"),
        *(
            _gain("part", "4", f"{what}, {kind}", f"{letter}_{kind[0]}")
            for letter, what in (("c", "correctness"), ("n", "naturalness"))
            for kind in ("Tradition", "Landmark", "Cuisine")
        ),
        _kept("headline", "3", "DPG-Bench overall", "overall"),
    ),
)
EMBEDDING = Family(
    "embedding",
    "Google SigLIP2",
    "SEA-SigLIP2 75%",
    (
        _gain("headline", "5", "mean of CVQA and SEA-VQA, SEA", "cvqa_sea", "seavqa_sea"),
        _gain("part", "5", "CVQA, SEA", "cvqa_sea"),
        _gain("part", "5", "SEA-VQA", "seavqa_sea"),
        _kept("headline", "5", "CVQA, global", "cvqa_global"),
        _kept("outside", "5", "CVQA, outside the region", "cvqa_others"),
    ),
)
FAMILIES = (VLM, DIFFUSION, EMBEDDING)


def recheck_claims(every: Tables | None = None) -> tuple[ClaimFinding, ...]:
    """Both claims on every measure of every adapted model, by default of the shipped tables."""
    return tuple(f for family in FAMILIES for f in _findings(family, every or tables()))


def _findings(family: Family, every: Tables) -> Iterator[ClaimFinding]:
    for measure in family.measures:
        base = measure.figure(family.base, every)
        for row in every[measure.table].rows:
            if row == family.base:
                continue
            adapted = measure.figure(row, every)
            shift = -100 if measure.claim is GAIN else 0
            percent = adapted.ratio_to(base).scaled(100, shift)
            yield ClaimFinding(family, row, measure, base, adapted, percent)
