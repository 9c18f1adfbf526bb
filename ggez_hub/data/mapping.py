"""How the columns of a source become examples, as the spec writes it."""

from __future__ import annotations

from collections.abc import Iterator
from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from ggez_hub.frozen_model import FrozenModel

Column: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Format: TypeAlias = Literal["caption", "open_ended", "multiple_choice", "chat"]
# What a column has to hold: the loader asserts it, and names the column that is off.
Role: TypeAlias = Literal["scalar", "picture", "text", "texts", "number", "index", "turns"]


class Constant(FrozenModel):
    """The same value for every row."""

    value: Annotated[str, StringConstraints(min_length=1)]


Ref: TypeAlias = Column | Constant


class Choice(FrozenModel):
    """The column with the number of the right option; `base` is the number of the first one.

    `count` is how many options there are where they stand inside the question.
    """

    column: Column
    base: Literal[0, 1]
    count: int | None = Field(default=None, ge=2)


class View(FrozenModel):
    """One example that is made of each row.

    A caption is an `answer` alone; with `each`, that column is a list, and every item makes an
    example. A question has `question` and `answer`, or `choice` (with `options`, unless they stand
    in the question). A chat has `turns`: a list of {from, value}.
    """

    format: Format
    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9_-]*$")] = ""
    question: Column | None = None
    options: Column | None = None
    answer: Column | None = None
    choice: Choice | None = None
    turns: Column | None = None
    language: Ref | None = None
    each: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        needs = {
            "caption": self.answer and not (self.question or self.choice or self.turns),
            "open_ended": self.question and self.answer and not (self.choice or self.turns),
            "multiple_choice": self.question and self.choice and not (self.answer or self.turns),
            "chat": self.turns and not (self.question or self.answer or self.choice),
        }
        if not needs[self.format]:
            raise ValueError(
                "does not fit its format: caption has answer; open_ended question and answer; "
                "multiple_choice question and choice; chat turns"
            )
        if self.each and self.format != "caption":
            raise ValueError("each is for captions: their column is a list then")
        if self.choice and self.choice.count is None and not self.options:
            raise ValueError("names neither options nor choice.count: how many are there?")
        return self

    @property
    def key(self) -> str:
        """What tells this view from the others of the mapping."""
        return self.name or self.format


class Mapping(FrozenModel):
    """Columns of a source.

    A column called `country` or `language` may hold codes, names, "Thai (tha)" or a pair as
    "('Filipino', 'Philippines')". `country_in_path` names a column whose path has a country as one
    of its segments. `scores` names numbers that are carried along.
    """

    id: Column | None = None
    picture: Column | None = None
    country: Ref | None = None
    country_in_path: Column | None = None
    location: Column | None = None
    path: Column | None = None
    category: Ref | None = None
    scores: dict[Column, Column] = Field(default={})
    examples: list[View] = Field(min_length=1)

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = [view.key for view in self.examples]
        if len(set(keys)) != len(keys):
            raise ValueError("has two examples of the same format: give each a name")
        if self.country is not None and self.country_in_path is not None:
            raise ValueError("has country and country_in_path: give one of them")
        return self

    def columns(self) -> Iterator[tuple[str, Role]]:
        """The columns that are read, with what each has to hold."""
        yield from _named("scalar", self.id, self.country, self.location, self.path, self.category)
        yield from _named("scalar", self.country_in_path)
        yield from _named("picture", self.picture)
        yield from _named("number", *self.scores.values())
        for view in self.examples:
            yield from _named("text", view.question)
            yield from _named("texts", view.options)
            yield from _named("texts" if view.each else "text", view.answer)
            yield from _named("index", view.choice.column if view.choice else None)
            yield from _named("turns", view.turns)
            yield from _named("scalar", view.language)


def _named(role: Role, *refs: Ref | None) -> Iterator[tuple[str, Role]]:
    for ref in refs:
        if isinstance(ref, str):
            yield ref, role


KNOWN_MAPPINGS = MappingProxyType(
    {
        "sea-vl-crowdsourcing": Mapping(
            id="id",
            picture="image",
            country="culture_relevant_loc",
            location="culture_relevant_loc",
            scores={
                "cultural_relevance": "avg_cultural_relevance",
                "caption_fit": "avg_caption_fit",
                "image_quality": "avg_img_quality",
            },
            examples=[
                View(format="caption", name="en", answer="caption", language=Constant(value="en")),
                View(
                    format="caption",
                    name="native",
                    answer="caption_native_lang",
                    language="native_lang",
                ),
            ],
        ),
        # Neither an id nor a country: the crawl is of the region as a whole.
        "sea-vl-crawling": Mapping(
            picture="image",
            category="category",
            examples=[
                View(format="caption", answer="caption", each=True, language=Constant(value="en"))
            ],
        ),
        # The language does not tell the country: pictures lie in a folder for each country.
        "cultural-ground": Mapping(
            id="id",
            picture="image",
            country_in_path="image",
            path="image",
            examples=[View(format="chat", turns="conversations", language="language")],
        ),
        "cvqa": Mapping(
            id="ID",
            picture="image",
            country="Subset",
            category="Category",
            examples=[
                View(
                    format="multiple_choice",
                    name="local",
                    question="Question",
                    options="Options",
                    choice=Choice(column="Label", base=0),
                    language="Subset",
                ),
                View(
                    format="multiple_choice",
                    name="en",
                    question="Translated Question",
                    options="Translated Options",
                    choice=Choice(column="Label", base=0),
                    language=Constant(value="en"),
                ),
            ],
        ),
        "world-cuisines": Mapping(
            id="qa_id",
            picture="image_url",
            category=Constant(value="cuisine"),
            examples=[
                View(
                    format="multiple_choice",
                    question="multi_choice_prompt",
                    choice=Choice(column="multi_choice_answer", base=1, count=5),
                    language="lang",
                ),
                View(
                    format="open_ended",
                    question="open_ended_prompt",
                    answer="answer",
                    language="lang",
                ),
            ],
        ),
        "world-cuisines-1.1": Mapping(
            picture="image_path",
            category=Constant(value="cuisine"),
            examples=[
                View(
                    format="multiple_choice",
                    question="question",
                    options="options",
                    choice=Choice(column="mcq_answer_index", base=0),
                )
            ],
        ),
    }
)
