"""Loaders for data sets of any origin: options map the columns to what they hold.

choices    questions of multiple choice          answers    questions with free answers
captions   pictures with captions, for search    prompts    what is to be drawn, and a question about it
safety-prompts  texts with their translations, whose replies or drawings are looked at for safety
"""

from __future__ import annotations

from collections.abc import Iterator
from string import ascii_lowercase
from typing import Literal

from pydantic import Field

from ggez_hub.evaluation.benchmarks.loaders.base import (
    Captioned,
    Choice,
    DrawingPrompt,
    Item,
    Loader,
    OpenQuestion,
    Options,
    PictureQuestion,
    SafetyPrompt,
    Source,
    embedded,
    texts,
)
from ggez_hub.evaluation.benchmarks.loaders.rows import Row
from ggez_hub.regions import UnknownRegion, find_region


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

    def item(self, row: Row, image: str = "", picture: bytes | None = None) -> Item:
        """The item of a row; raises GgezError for what is not a country."""
        return Item(
            id=str(row[self.id]),
            image=image or str(row[self.id]),
            picture=picture,
            country=_country(row, self.country) if self.country else None,
            language=row.get(self.language),
            category=row.get(self.category),
        )


class ChoiceColumns(ItemColumns):
    """The columns of the options and of the right one.

    options   a column with a list of texts, or the columns of the single options
    answer    how the right one is given: a number that counts from 0 or from 1, or its letter
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
        """The options of a row, and the number of the right one, from 0; raises GgezError."""
        options = (
            tuple(row[self.options])
            if isinstance(self.options, str)
            else tuple(row[name] for name in self.options)
        )
        if self.answer != "letter":
            return options, row.option(self.gold, len(options), int(self.answer == "from 1"))
        letters = ascii_lowercase[: len(options)]
        letter = row[self.gold].strip().lower()
        if len(letter) != 1 or letter not in letters:
            raise row.off(
                self.gold, f"is {row[self.gold]!r}, it should be one of {', '.join(letters)}"
            )
        return options, letters.index(letter)


class PictureChoiceColumns(ChoiceColumns):
    """The columns of picture, question, options and answer."""

    image: str = "image"
    question: str


class AnswerColumns(ItemColumns):
    """The columns; `answers` holds a text, or a list of texts of which any is right."""

    image: str = "image"
    question: str
    answers: str


class CaptionColumns(Options):
    """The columns; the captions are a text or a list of them. Without `id` the picture is the id.

    The parts of `files` are languages, each with its files, as XM3600 has a split for each.
    `only`: column -> the value that the rows have which are read.
    """

    image: str = "image"
    captions: str = "captions"
    id: str | None = None
    only: dict[str, str] = Field(default_factory=dict)


class DrawingPromptColumns(ChoiceColumns):
    """The columns.

    prompt    what is drawn
    question  what a judge is asked about it; left out, the options themselves are compared
    """

    prompt: str
    question: str | None = None


class SafetyColumns(Options):
    """The columns; those of `languages` (BCP 47) hold the same prompt in each, their name is the tag."""

    id: str = "id"
    category: str = "category"
    languages: list[str] = Field(min_length=1)


def _country(row: Row, column: str) -> str:
    try:
        return find_region(row[column]).id
    except UnknownRegion as error:
        raise row.off(column, f"is {row[column]!r}, which is not a country,") from error


def _read_choices(source: Source, options: PictureChoiceColumns) -> Iterator[Choice]:
    columns = {**options.kinds, options.image: "image", options.question: "text"}
    for row in source.all_rows(columns):
        choices, gold = options.choose(row)
        yield Choice(
            **vars(options.item(row, *embedded(row[options.image], source))),
            question=row[options.question],
            options=choices,
            gold=gold,
        )


def _read_answers(source: Source, options: AnswerColumns) -> Iterator[OpenQuestion]:
    columns = {
        **options.kinds,
        options.image: "image",
        options.question: "text",
        options.answers: "text or texts",
    }
    for row in source.all_rows(columns):
        yield OpenQuestion(
            **vars(options.item(row, *embedded(row[options.image], source))),
            question=row[options.question],
            references=texts(row[options.answers]),
        )


def _read_captions(source: Source, options: CaptionColumns) -> Iterator[Captioned]:
    columns = {options.image: "image", options.captions: "text or texts"}
    if options.id:
        columns[options.id] = "text or whole"
    columns |= dict.fromkeys(options.only, "text")
    for language in source.parts:
        for row in source.rows(language, columns):
            if any(row[name] != value for name, value in options.only.items()):
                continue
            image, picture = embedded(row[options.image], source)
            own = str(row[options.id]) if options.id else image
            if not own:
                raise row.off(options.image, "has neither bytes nor a path")
            yield Captioned(
                id=f"{language}/{own}",
                image=image or own,
                picture=picture,
                language=language,
                captions=texts(row[options.captions]),
            )


def _read_prompts(source: Source, options: DrawingPromptColumns) -> Iterator[DrawingPrompt]:
    columns = {**options.kinds, options.prompt: "text"}
    if options.question:
        columns[options.question] = "text"
    for row in source.all_rows(columns):
        question = row[options.question] if options.question else ""
        choices, gold = options.choose(row)
        yield DrawingPrompt(
            **vars(options.item(row)),
            prompt=row[options.prompt],
            parts=(PictureQuestion(1, question, choices, gold, parents=()),),
        )


def _read_safety(source: Source, options: SafetyColumns) -> Iterator[SafetyPrompt]:
    columns = dict.fromkeys((options.id, options.category, *options.languages), "text")
    for row in source.all_rows(columns):
        for language in options.languages:
            yield SafetyPrompt(
                id=f"{row[options.id]}/{language}",
                image=row[options.id],
                language=language,
                category=row[options.category],
                prompt=row[language],
            )


CHOICES = Loader("choices", PictureChoiceColumns, _read_choices)
ANSWERS = Loader("answers", AnswerColumns, _read_answers)
CAPTIONS = Loader("captions", CaptionColumns, _read_captions)
PROMPTS = Loader("prompts", DrawingPromptColumns, _read_prompts)
SAFETY_PROMPTS = Loader("safety prompts", SafetyColumns, _read_safety)
