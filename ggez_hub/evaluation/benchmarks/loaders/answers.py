"""Questions with free answers of any data set: the mapping of its columns is all there is to say."""

from __future__ import annotations

from collections.abc import Iterator

from ggez_hub.evaluation.benchmarks.loaders.base import Loader, Open, Source, embedded, texts
from ggez_hub.evaluation.benchmarks.loaders.columns import ItemColumns


class AnswerOptions(ItemColumns):
    """The columns.

    answers  a text, or a list of texts of which any is right
    """

    image: str = "image"
    question: str
    answers: str


def _read(source: Source, options: AnswerOptions) -> Iterator[Open]:
    columns = {
        **options.kinds,
        options.image: "image",
        options.question: "text",
        options.answers: "text or texts",
    }
    for row in source.all_rows(columns):
        item = str(row[options.id])
        image, picture = embedded(row[options.image], source)
        yield Open(
            id=item,
            image=image or item,
            picture=picture,
            **options.origin(row),
            question=row[options.question],
            references=texts(row[options.answers]),
        )


LOADER = Loader("answers", AnswerOptions, _read)
