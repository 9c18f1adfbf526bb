"""Prompts of any data set, each with a question of multiple choice about what was drawn."""

from __future__ import annotations

from collections.abc import Iterator

from ggez_hub.evaluation.benchmarks.loaders.base import Loader, Part, Prompted, Source
from ggez_hub.evaluation.benchmarks.loaders.columns import ChoiceColumns


class PromptOptions(ChoiceColumns):
    """The columns.

    prompt    what is drawn
    question  what a judge is asked about it; left out, the options themselves are compared
    """

    prompt: str
    question: str | None = None


def _read(source: Source, options: PromptOptions) -> Iterator[Prompted]:
    columns = {**options.kinds, options.prompt: "text"}
    if options.question:
        columns[options.question] = "text"
    for row in source.all_rows(columns):
        item = str(row[options.id])
        question = row[options.question] if options.question else ""
        choices, gold = options.choose(row)
        yield Prompted(
            id=item,
            image=item,
            picture=None,
            **options.origin(row),
            prompt=row[options.prompt],
            parts=(Part(number=1, question=question, options=choices, gold=gold, parents=()),),
        )


LOADER = Loader("prompts", PromptOptions, _read)
