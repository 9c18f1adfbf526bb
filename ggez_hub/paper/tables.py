"""The paper's tables as printed: a cell is a number and the width of its rounding.

A number printed as 64.1 stands for any value in [64.05, 64.15]. All arithmetic is exact: fractions,
not floats.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from types import MappingProxyType
from typing import Any

from ggez_hub.recipe_file import recipes_folder

PAPER = "2604.11490"

# Digits after the point that a table prints; JSON does not keep a final zero. A cell with more
# digits than its table's keeps them (Table 15 has two such cells).
DIGITS: Mapping[str, int] = {
    "1": 1, "2": 2, "3": 2, "4": 3, "5": 2, "10": 1, "14": 1, "15": 1, "16": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Cell:
    """A printed number: anything in [value - half, value + half]."""

    value: Fraction
    half: Fraction


@dataclass(frozen=True)
class Table:
    """A table of the paper: row name -> column -> cell.

    `counts` are the questions behind a column, where the paper says how many; `alpha` is that of
    the paper's arithmetic, 0.43 as printed.
    """

    number: str
    what: str
    rows: Mapping[str, Mapping[str, Cell]]
    counts: Mapping[str, int]
    alpha: Fraction | None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns in the order of the paper."""
        return tuple(next(iter(self.rows.values())))


@cache
def tables() -> Mapping[str, Table]:
    """Every table of the shipped file, by its number in the paper."""
    path = recipes_folder() / "papers" / PAPER / "tables.json"
    content = json.loads(path.read_text(encoding="utf-8"), parse_float=Decimal)
    return MappingProxyType({n: _table(n, content[n]) for n in DIGITS})


def _table(number: str, entry: Mapping[str, Any]) -> Table:
    alpha = entry.get("alpha")
    return Table(
        number=number,
        what=entry["what"],
        rows={
            name: {
                column: _cell(value, DIGITS[number])
                for column, value in zip(entry["columns"], row, strict=True)
            }
            for name, row in entry["rows"].items()
        },
        counts=entry.get("n", {}),
        alpha=None if alpha is None else Fraction(alpha),
    )


def _cell(value: Decimal | int, digits: int) -> Cell:
    exponent = Decimal(value).as_tuple().exponent
    shown = max(digits, -int(exponent))
    return Cell(Fraction(value), Fraction(1, 2 * 10**shown))
