"""Multiple choice of any data set: the mapping of its columns is all there is to say."""

from __future__ import annotations

from collections.abc import Iterator

from ggez_hub.evaluation.benchmarks.loaders.base import Choice, Loader, Source, embedded
from ggez_hub.evaluation.benchmarks.loaders.columns import ChoiceColumns


class ColumnOptions(ChoiceColumns):
    """The columns of picture, question, options and answer."""

    image: str = "image"
    question: str


def _read(source: Source, options: ColumnOptions) -> Iterator[Choice]:
    columns = {**options.kinds, options.image: "image", options.question: "text"}
    for row in source.all_rows(columns):
        item = str(row[options.id])
        image, picture = embedded(row[options.image], source)
        choices, gold = options.choose(row)
        yield Choice(
            id=item,
            image=image or item,
            picture=picture,
            **options.origin(row),
            question=row[options.question],
            options=choices,
            gold=gold,
        )


LOADER = Loader("choices", ColumnOptions, _read)
