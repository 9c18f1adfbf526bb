"""Multiple choice of any data set: the mapping of its columns is all there is to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal

from ggez_hub.evaluation.loaders.base import Choice, Loader, Options, Source, embedded
from ggez_hub.evaluation.loaders.rows import Rows
from ggez_hub.regions import UnknownRegion, find_region


class ColumnOptions(Options):
    """The columns of question, options and answer; `country` and `category` where there are any.

    options   a column with a list of texts, or the columns of the single options
    answer    how the right one is told: a number that counts from 0 or from 1, or its letter
    """

    id: str
    image: str = "image"
    question: str
    options: str | list[str]
    gold: str
    answer: Literal["from 0", "from 1", "letter"]
    country: str | None = None
    language: str | None = None
    category: str | None = None


def _read(source: Source, options: ColumnOptions) -> Iterator[Choice]:
    columns = {
        options.id: "text or whole",
        options.image: "image",
        options.question: "text",
        options.gold: "text" if options.answer == "letter" else "whole",
    }
    if isinstance(options.options, str):
        columns[options.options] = "texts"
    else:
        columns |= dict.fromkeys(options.options, "text")
    columns |= {n: "text" for n in (options.country, options.language, options.category) if n}
    for part in source.parts:
        for rows in source.rows(part, columns):
            for number, row in enumerate(rows.values):
                image, picture = embedded(row[options.image], source)
                choices = (
                    tuple(row[options.options])
                    if isinstance(options.options, str)
                    else tuple(row[name] for name in options.options)
                )
                yield Choice(
                    id=str(row[options.id]),
                    image=image or str(row[options.id]),
                    picture=picture,
                    country=country_of(rows, number, row, options.country),
                    language=row[options.language] if options.language else None,
                    category=row[options.category] if options.category else None,
                    question=row[options.question],
                    options=choices,
                    gold=gold_of(rows, number, options.gold, options.answer, row, len(choices)),
                )


def gold_of(
    rows: Rows, number: int, column: str, answer: str, row: Mapping[str, Any], count: int
) -> int:
    """The number of the right option, as a column tells it; raises BadItems."""
    value = row[column]
    gold = NUMBERS[answer](value)
    if not 0 <= gold < count:
        raise rows.off(number, column, f"is {value!r}, there are {count} options ({answer}),")
    return gold


def _letter(value: str) -> int:
    letter = value.strip().lower()
    return ord(letter) - ord("a") if len(letter) == 1 else -1


NUMBERS: Mapping[str, Callable[[Any], int]] = {
    "from 0": int,
    "from 1": lambda value: int(value) - 1,
    "letter": _letter,
}


def country_of(rows: Rows, number: int, row: Mapping[str, Any], name: str | None) -> str | None:
    """The country that a column names, if there is one; raises BadItems."""
    if name is None:
        return None
    try:
        return find_region(row[name]).id
    except UnknownRegion as error:
        raise rows.off(number, name, f"is {row[name]!r}, which is no country,") from error


LOADER = Loader("choices", ColumnOptions, _read)
