"""SEA-VQA (`wit543/sea-vqa`): questions on intangible heritage of eight countries, in English.

Its splits are countries, so the parts of `files` are their codes. Its pictures are addresses: those
that were not fetched count as missing.
"""

from __future__ import annotations

from collections.abc import Iterator

from ggez_hub.evaluation.benchmarks.loaders.base import Choice, Loader, Options, Source

LETTERS = "abcd"
CHOICES = tuple(f"choice_{letter}" for letter in LETTERS)
COLUMNS = {
    "question": "text",
    **dict.fromkeys(CHOICES, "text"),
    "correct_answer": "any text",
    "image_path": "text",
}


def _read(source: Source, options: Options) -> Iterator[Choice]:
    for country in source.parts:
        for number, row in enumerate(source.rows(country, COLUMNS)):
            gold = row["correct_answer"].strip().lower()
            if gold not in LETTERS or len(gold) != 1:
                raise row.off(
                    "correct_answer",
                    f"is {row['correct_answer']!r}, it should be one of a, b, c, d",
                )
            yield Choice(
                # The data set has no ids; its rows are those of a pinned revision.
                id=f"{country}-{number:04}",
                image=row["image_path"],
                picture=source.picture(row["image_path"]),
                country=country,
                language="en",
                question=row["question"],
                options=tuple(row[name] for name in CHOICES),
                gold=LETTERS.index(gold),
            )


LOADER = Loader("choices", Options, _read)
