"""Questions with free answers of any data set: the mapping of its columns is all there is to say."""

from __future__ import annotations

from collections.abc import Iterator

from ggez_hub.evaluation.loaders.base import Loader, Open, Options, Source, embedded
from ggez_hub.evaluation.loaders.choices import country_of


class AnswerOptions(Options):
    """The columns; `country`, `language` and `category` where there are any.

    answers  a text, or a list of texts of which any is right
    """

    id: str
    image: str = "image"
    question: str
    answers: str
    country: str | None = None
    language: str | None = None
    category: str | None = None


def _read(source: Source, options: AnswerOptions) -> Iterator[Open]:
    columns = {
        options.id: "text or whole",
        options.image: "image",
        options.question: "text",
        options.answers: "text or texts",
    }
    columns |= {n: "text" for n in (options.country, options.language, options.category) if n}
    for part in source.parts:
        for rows in source.rows(part, columns):
            for number, row in enumerate(rows.values):
                image, picture = embedded(row[options.image], source)
                answers = row[options.answers]
                yield Open(
                    id=str(row[options.id]),
                    image=image or str(row[options.id]),
                    picture=picture,
                    country=country_of(rows, number, row, options.country),
                    language=row[options.language] if options.language else None,
                    category=row[options.category] if options.category else None,
                    question=row[options.question],
                    references=(answers,) if isinstance(answers, str) else tuple(answers),
                )


LOADER = Loader("answers", AnswerOptions, _read)
