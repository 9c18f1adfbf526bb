"""What the data sets that need no loader of their own have in common: columns that a mapping names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Literal, TypedDict

from ggez_hub.evaluation.benchmarks.loaders.base import Options
from ggez_hub.evaluation.benchmarks.loaders.rows import Row
from ggez_hub.regions import UnknownRegion, find_region


class Origin(TypedDict):
    """Where an item is from, as `Item` has it."""

    country: str | None
    language: str | None
    category: str | None


class ItemColumns(Options):
    """The column with the id; those of country, language and category where there are any."""

    id: str
    country: str | None = None
    language: str | None = None
    category: str | None = None

    @property
    def kinds(self) -> dict[str, str]:
        """Column -> what it holds, as `read_rows` takes them."""
        known = (self.country, self.language, self.category)
        return {self.id: "text or whole", **{name: "text" for name in known if name}}

    def origin(self, row: Row) -> Origin:
        """Country, language and category of a row; raises BadItems for what is no country."""
        return {
            "country": _country(row, self.country) if self.country else None,
            "language": row.get(self.language),
            "category": row.get(self.category),
        }


class ChoiceColumns(ItemColumns):
    """The columns of the options and of the right one.

    options   a column with a list of texts, or the columns of the single options
    answer    how the right one is told: a number that counts from 0 or from 1, or its letter
    """

    options: str | list[str]
    gold: str
    answer: Literal["from 0", "from 1", "letter"]

    @property
    def kinds(self) -> dict[str, str]:
        options = (
            {self.options: "texts"}
            if isinstance(self.options, str)
            else dict.fromkeys(self.options, "text")
        )
        gold = {self.gold: "text" if self.answer == "letter" else "whole"}
        return super().kinds | gold | options

    def choose(self, row: Row) -> tuple[tuple[str, ...], int]:
        """The options of a row, and the number of the right one, from 0; raises BadItems."""
        options = (
            tuple(row[self.options])
            if isinstance(self.options, str)
            else tuple(row[name] for name in self.options)
        )
        value = row[self.gold]
        gold = NUMBERS[self.answer](value)
        if not 0 <= gold < len(options):
            raise row.off(
                self.gold, f"is {value!r}, there are {len(options)} options ({self.answer}),"
            )
        return options, gold


def _letter(value: str) -> int:
    letter = value.strip().lower()
    return ord(letter) - ord("a") if len(letter) == 1 else -1


NUMBERS: Mapping[str, Callable[[Any], int]] = {
    "from 0": int,
    "from 1": lambda value: int(value) - 1,
    "letter": _letter,
}


def _country(row: Row, column: str) -> str:
    try:
        return find_region(row[column]).id
    except UnknownRegion as error:
        raise row.off(column, f"is {row[column]!r}, which is no country,") from error
