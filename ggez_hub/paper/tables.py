"""The paper's tables as printed: a cell is a number and the width of its rounding.

A number printed as 64.1 stands for any value in [64.05, 64.15]. All arithmetic is exact: fractions,
not floats.
The recipes behind them are for those who have the GPUs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.sweep.recipe import SweepRecipe
from ggez_hub.recipe_file import read_recipe, recipes_folder

PAPER = "2604.11490"

# How each begins: what it makes again.
FIRST_LINE = re.compile(r"# Tables? ([0-9, and]+) of arXiv")
# The eight countries of SEA-VQA, as the columns are called.
COUNTRIES = ("khm", "idn", "lao", "mys", "phl", "sgp", "tha", "vnm")
# Digits after the point that a table prints; JSON does not keep a final zero. A cell with more
# digits than its table's keeps them (Table 15 has two such cells).
DIGITS: Mapping[str, int] = {
    "1": 1, "2": 2, "3": 2, "4": 3, "5": 2, "10": 1, "14": 1, "15": 1, "16": 2,
}  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """A number as printed or computed, and the least and greatest that rounding allows."""

    value: Fraction
    low: Fraction
    high: Fraction

    @classmethod
    def printed(cls, value: Fraction, half: Fraction) -> Figure:
        """Anything in [value - half, value + half]."""
        return cls(value, value - half, value + half)

    @classmethod
    def weighted(cls, parts: Iterable[tuple[Fraction, Figure]]) -> Figure:
        """The sum of weight * figure, for weights of at least 0."""
        terms = [figure.scaled(weight) for weight, figure in parts]
        value, low, high = (
            sum((getattr(term, end) for term in terms), Fraction())
            for end in ("value", "low", "high")
        )
        return cls(value, low, high)

    @property
    def half(self) -> Fraction:
        """How far a printed number may be rounded, or a sum of them."""
        return self.high - self.value

    def __sub__(self, other: Figure) -> Figure:
        return Figure(self.value - other.value, self.low - other.high, self.high - other.low)

    def ratio_to(self, base: Figure) -> Figure:
        """self / base; both are above 0."""
        return Figure(self.value / base.value, self.low / base.high, self.high / base.low)

    def scaled(self, by: Fraction | int, shift: Fraction | int = 0) -> Figure:
        """by * self + shift, for a `by` of at least 0."""
        return Figure(by * self.value + shift, by * self.low + shift, by * self.high + shift)

    def as_dict(self) -> dict[str, float]:
        return {"value": float(self.value), "low": float(self.low), "high": float(self.high)}


Tables: TypeAlias = Mapping[str, "Table"]


@dataclass(frozen=True)
class Table:
    """A table of the paper: row name -> column -> cell.

    `counts` are the questions behind a column, where the paper says how many; `alpha` is that of
    the paper's arithmetic, 0.43 as printed.
    """

    number: str
    what: str
    rows: Mapping[str, Mapping[str, Figure]]
    counts: Mapping[str, int]
    alpha: Fraction | None

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(next(iter(self.rows.values())))


@cache
def tables() -> Tables:
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


def _cell(value: Decimal | int, digits: int) -> Figure:
    exponent = Decimal(value).as_tuple().exponent
    shown = max(digits, -int(exponent))
    return Figure.printed(Fraction(value), Fraction(1, 2 * 10**shown))


@dataclass(frozen=True)
class PaperRecipe:
    """A recipe of `sweep`: its file, its text with comments, and the tables that rest on it.

    unknown  the keys that the paper leaves open, and that have to be filled in
    """

    path: Path
    text: str
    recipe: SweepRecipe
    tables: tuple[str, ...]
    unknown: tuple[str, ...]


def paper_recipes(numbers: Iterable[str] = ()) -> tuple[PaperRecipe, ...]:
    """The recipes behind the tables `numbers`, or all; raises UsageProblem where there is none."""
    found = []
    for path in sorted((recipes_folder() / "papers" / PAPER).glob("*.yaml")):
        text = path.read_text(encoding="utf-8")
        first = FIRST_LINE.match(text)
        tables = tuple(re.findall(r"[0-9]+", first[1])) if first else ()
        recipe = read_recipe(path, "sweep", SweepRecipe)
        found.append(PaperRecipe(path, text, recipe, tables, recipe.blanks))
    asked = tuple(numbers)
    known = {table for recipe in found for table in recipe.tables}
    if missing := [number for number in asked if number not in known]:
        raise UsageProblem(
            f"no model is run for Table {missing[0]}",
            f"There are recipes for: {', '.join(sorted(known, key=int))}.",
        )
    return tuple(r for r in found if not asked or set(asked) & set(r.tables))
