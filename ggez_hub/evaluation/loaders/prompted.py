"""Prompts of any data set, each with a question of multiple choice about what was drawn."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from ggez_hub.evaluation.loaders.base import Loader, Options, Part, Prompted, Source
from ggez_hub.evaluation.loaders.choices import country_of, gold_of


class PromptOptions(Options):
    """The columns; `country`, `language` and `category` where there are any.

    prompt    what is drawn
    question  what a judge is asked about it; left out, the options themselves are compared
    options   a column with a list of texts, or the columns of the single options
    answer    how the right one is told: a number that counts from 0 or from 1, or its letter
    """

    id: str
    prompt: str
    question: str | None = None
    options: str | list[str]
    gold: str
    answer: Literal["from 0", "from 1", "letter"]
    country: str | None = None
    language: str | None = None
    category: str | None = None


def _read(source: Source, options: PromptOptions) -> Iterator[Prompted]:
    columns = {
        options.id: "text or whole",
        options.prompt: "text",
        options.gold: "text" if options.answer == "letter" else "whole",
    }
    if isinstance(options.options, str):
        columns[options.options] = "texts"
    else:
        columns |= dict.fromkeys(options.options, "text")
    known = (options.question, options.country, options.language, options.category)
    columns |= {name: "text" for name in known if name}
    for part in source.parts:
        for rows in source.rows(part, columns):
            for number, row in enumerate(rows.values):
                choices = (
                    tuple(row[options.options])
                    if isinstance(options.options, str)
                    else tuple(row[name] for name in options.options)
                )
                item = str(row[options.id])
                yield Prompted(
                    id=item,
                    image=item,
                    picture=None,
                    country=country_of(rows, number, row, options.country),
                    language=row[options.language] if options.language else None,
                    category=row[options.category] if options.category else None,
                    prompt=row[options.prompt],
                    parts=(
                        Part(
                            number=1,
                            question=row[options.question] if options.question else "",
                            options=choices,
                            gold=gold_of(
                                rows, number, options.gold, options.answer, row, len(choices)
                            ),
                            parents=(),
                        ),
                    ),
                )


LOADER = Loader("prompts", PromptOptions, _read)
