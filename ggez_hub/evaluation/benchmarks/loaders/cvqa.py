"""CVQA (`afaji/cvqa`): questions from 39 pairs of a language and a country, with English ones."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Literal

from ggez_hub.evaluation.benchmarks.loaders.base import Choice, Loader, Options, Source, embedded
from ggez_hub.regions import UnknownRegion, find_region

# Which columns hold the question and its options.
TEXTS = {
    "local": ("Question", "Options"),
    "english": ("Translated Question", "Translated Options"),
}
SUBSET = re.compile(r"""\(\s*(["'])([^"']+)\1\s*,\s*(["'])([^"']+)\3\s*\)""")


class CvqaOptions(Options):
    """`text`: the question as it was asked, or its English translation."""

    text: Literal["local", "english"]


def _read(source: Source, options: CvqaOptions) -> Iterator[Choice]:
    question, answers = TEXTS[options.text]
    columns = {
        "image": "image",
        "ID": "text",
        "Subset": "text",
        question: "text",
        answers: "texts",
        "Label": "whole",
        "Category": "any text?",
    }
    for row in source.all_rows(columns):
        try:
            language, country = _subset(row["Subset"])
        except ValueError as problem:
            raise row.off("Subset", str(problem)) from problem
        if row["Label"] == -1:
            raise row.off(
                "Label",
                "is -1: this revision withholds the answers,",
                "Pin a revision of the data set that has them.",
            )
        image, picture = embedded(row["image"], source)
        yield Choice(
            id=row["ID"],
            image=image or row["ID"],
            picture=picture,
            country=country,
            language="en" if options.text == "english" else language,
            category=row.get("Category"),
            question=row[question],
            options=tuple(row[answers]),
            gold=row.option("Label", len(row[answers])),
        )


@cache
def _subset(text: str) -> tuple[str, str]:
    """Language and country of "('Filipino', 'Philippines')", which is a string in the data."""
    import langcodes

    found = SUBSET.fullmatch(text)
    if found is None:
        raise ValueError(f"is {text!r:.60}, it should be like \"('Thai', 'Thailand')\"")
    language, country = found[2].replace("_", " "), found[4].replace("_", " ")
    try:
        return langcodes.find(language).to_tag(), find_region(country).id
    except LookupError as error:
        raise ValueError(f"names the unknown language {language!r}") from error
    except UnknownRegion as error:
        raise ValueError(f"names the unknown country {country!r}") from error


LOADER = Loader("choices", CvqaOptions, _read)
