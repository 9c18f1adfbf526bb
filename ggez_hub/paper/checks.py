"""The kinds of check: what a printed number has to be, given other printed numbers.

All are interval arithmetic. A result is off by at most its own rounding plus that of what it is
computed from; a printed number that is further away does not follow from the printed inputs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Protocol

from ggez_hub.paper.tables import Figure, Table, Tables
from ggez_hub.regions import find_region
from ggez_hub.regions.kof import INTERPERSONAL, SHIPPED_RELEASE, load_series


@dataclass(frozen=True)
class Finding:
    """A derived number: as printed, as recomputed, and how far rounding alone can take them apart."""

    table: str
    row: str
    column: str
    rule: str
    printed: Fraction
    recomputed: Fraction
    tolerance: Fraction

    @property
    def difference(self) -> Fraction:
        return self.printed - self.recomputed

    @property
    def consistent(self) -> bool:
        return abs(self.difference) <= self.tolerance

    def as_dict(self) -> dict[str, object]:
        return {
            "table": self.table,
            "row": self.row,
            "column": self.column,
            "rule": self.rule,
            "printed": float(self.printed),
            "recomputed": float(self.recomputed),
            "difference": float(self.difference),
            "tolerance": float(self.tolerance),
            "consistent": self.consistent,
        }


class Check(Protocol):
    """Something that a table has to satisfy."""

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        """One finding for each number that the check speaks of."""


@dataclass(frozen=True)
class Weighted:
    """A column is the weighted sum of others: means, micro averages, GRP.

    Weights are not negative. Raises KeyError for a column that the table does not have.
    """

    column: str
    weights: Mapping[str, Fraction]
    rule: str

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        for name, row in table.rows.items():
            parts = [(weight, row[column]) for column, weight in self.weights.items()]
            yield _finding(table, name, self.column, self.rule, row[self.column], parts)


@dataclass(frozen=True)
class SameAs:
    """A column is printed in another table too; rows go by their order."""

    column: str
    other: str
    other_column: str

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        rule = f"is {self.other_column} of Table {self.other}"
        rows = zip(table.rows.items(), every[self.other].rows.values(), strict=True)
        for (name, row), other in rows:
            parts = [(Fraction(1), other[self.other_column])]
            yield _finding(table, name, self.column, rule, row[self.column], parts)


@dataclass(frozen=True)
class ShareOf:
    """A column is the share of n questions answered rightly, so only k / n can be printed.

    J. A. J. Heathers and N. J. L. Brown's GRIM test. The counts are those of Table 10.
    """

    columns: Mapping[str, str]

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        for column, country in self.columns.items():
            n = every["10"].counts[country]
            for name, row in table.rows.items():
                cell = row[column]
                nearest = Fraction(100 * round(cell.value * n / 100), n)
                yield Finding(
                    table.number, name, column, f"100 * k / {n}", cell.value, nearest, cell.half
                )


@dataclass(frozen=True)
class MeanRank:
    """Average ranks of k models sum to k (k + 1) / 2 in every column."""

    columns: tuple[str, ...]

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        k = len(table.rows)
        for column in self.columns:
            cells = [row[column] for row in table.rows.values()]
            yield Finding(
                table.number,
                "sum of the rows",
                column,
                f"average ranks of {k} models sum to {k * (k + 1) // 2}",
                sum((c.value for c in cells), Fraction()),
                Fraction(k * (k + 1), 2),
                sum((c.half for c in cells), Fraction()),
            )


@dataclass(frozen=True)
class MeanOfRatings:
    """A column is the mean over all ratings, whose numbers by part are not printed.

    `counts`, by row and part, are those with which every printed mean is a sum of whole ratings divided by
    their number (GRIM, see ShareOf): each part has a finding, and the mean over all of them another.
    """

    column: str
    parts: tuple[str, ...]
    counts: Mapping[str, tuple[int, ...]]

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        for name, row in table.rows.items():
            sums = []
            for part, n in zip(self.parts, self.counts[name], strict=True):
                cell = row[part]
                sums.append(round(cell.value * n))
                rule = f"k / {n}"
                yield Finding(
                    table.number, name, part, rule, cell.value, Fraction(sums[-1], n), cell.half
                )
            cell, total = row[self.column], sum(self.counts[name])
            yield Finding(
                table.number,
                name,
                self.column,
                f"mean over {total} ratings",
                cell.value,
                Fraction(sum(sums), total),
                cell.half,
            )


@dataclass(frozen=True)
class OneShare:
    """whole = w * part + (1 - w) * rest with one w for every row."""

    whole: str
    part: str
    rest: str

    def share(self, table: Table) -> tuple[Fraction, Fraction]:
        """The lowest and highest w that the rows allow; crossed over if they allow none."""
        low, high = Fraction(0), Fraction(1)
        for row in table.rows.values():
            whole, part, rest = row[self.whole], row[self.part], row[self.rest]
            slope, gap = part.value - rest.value, whole.value - rest.value
            if slope == 0:
                continue
            room = whole.half + max(part.half, rest.half)
            ends = sorted(((gap - room) / slope, (gap + room) / slope))
            low, high = max(low, ends[0]), min(high, ends[1])
        return low, high

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        share = sum(self.share(table), Fraction()) / 2
        rule = f"w * {self.part} + (1 - w) * {self.rest}, one w for all rows"
        for name, row in table.rows.items():
            parts = [(share, row[self.part]), (1 - share, row[self.rest])]
            yield _finding(table, name, self.whole, rule, row[self.whole], parts)


def _finding(
    table: Table,
    row: str,
    column: str,
    rule: str,
    printed: Figure,
    parts: list[tuple[Fraction, Figure]],
) -> Finding:
    found = Figure.weighted(parts)
    return Finding(
        table.number, row, column, rule, printed.value, found.value, printed.half + found.half
    )


COLUMNS = {
    "EAP": "east-asia-pacific",
    "ECA": "europe-central-asia",
    "LAC": "latin-america-caribbean",
    "MENA": "middle-east-north-africa",
    "NA": "north-america",
    "SA": "south-asia",
    "SEA": "southeast-asia",
    "SSA": "sub-saharan-africa",
    "World": "world",
}
# In KOF's file under the outdated code TMP, and so not in the paper's mean.
LOST = "tl"


@dataclass(frozen=True)
class FromKof:
    """Every cell is KOF's aggregate row, or the mean over the countries of the region but one."""

    def findings(self, table: Table, every: Tables) -> Iterator[Finding]:
        for year, row in table.rows.items():
            for column, cell in row.items():
                value, rule = _value(COLUMNS[column], int(year))
                yield Finding(table.number, year, column, rule, cell.value, value, cell.half)


def _value(region_id: str, year: int) -> tuple[Fraction, str]:
    """The index from 0 to 100 as the paper computes it, and where it comes from."""
    region, series = find_region(region_id), load_series(INTERPERSONAL, SHIPPED_RELEASE)
    source = f"{INTERPERSONAL} of KOF release {SHIPPED_RELEASE}"
    keys = [region.aggregate] if region.aggregate else [m for m in region.members if m != LOST]
    # As decimal fractions, which they are in KOF's file: a tie of rounding stays one.
    found = [Fraction(str(v)) for key in keys if (v := series.value(key, year)) is not None]
    what = f"row {region.aggregate}" if region.aggregate else f"mean of {len(found)} countries"
    return sum(found, Fraction()) / len(found), f"{source}, {what}"
