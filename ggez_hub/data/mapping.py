"""How the columns of a source become examples, as a spec writes it, and the known mappings."""

from __future__ import annotations

from types import MappingProxyType
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, StringConstraints, model_validator

from ggez_hub.frozen_model import FrozenModel

Column: TypeAlias = Annotated[str, StringConstraints(min_length=1)]
Format: TypeAlias = Literal["caption", "open_ended", "multiple_choice", "chat"]
# What a column has to hold: readers check it, and name the wrong column.
Role: TypeAlias = Literal["scalar", "picture", "text", "texts", "number", "index", "turns"]


CONTENT = ("question", "answer", "choice", "turns")
# What a view of each format names, and nothing else of CONTENT.
FORMATS: dict[Format, set[str]] = {
    "caption": {"answer"},
    "open_ended": {"question", "answer"},
    "multiple_choice": {"question", "choice"},
    "chat": {"turns"},
}


class Constant(FrozenModel):
    """The same value for every row."""

    value: Annotated[str, StringConstraints(min_length=1)]


ColumnOrConstant: TypeAlias = Column | Constant


class ChoiceColumn(FrozenModel):
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
    choice: ChoiceColumn | None = None
    turns: Column | None = None
    language: ColumnOrConstant | None = None
    each: bool = False

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if {name for name in CONTENT if getattr(self, name)} != FORMATS[self.format]:
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
        return self.name or self.format


class ColumnMapping(FrozenModel):
    """Columns of a source.

    A column called `country` or `language` may hold codes, names, "Thai (tha)" or a pair as
    "('Filipino', 'Philippines')". `country_in_path` names a column whose path has a country as one
    of its segments. `scores` names numbers that are carried along. Of what is
    held out `examples` may be empty: the pictures alone.
    """

    id: Column | None = None
    picture: Column | None = None
    country: ColumnOrConstant | None = None
    country_in_path: Column | None = None
    location: Column | None = None
    path: Column | None = None
    category: ColumnOrConstant | None = None
    scores: dict[Column, Column] = Field(default={})
    examples: list[View]

    @model_validator(mode="after")
    def _distinct(self) -> Self:
        keys = [view.key for view in self.examples]
        if len(set(keys)) != len(keys):
            raise ValueError("has two examples of the same format: give each a name")
        if self.country is not None and self.country_in_path is not None:
            raise ValueError("has country and country_in_path: give one of them")
        return self

    def columns(self) -> list[tuple[str, Role]]:
        """The columns that are read, with what each has to hold."""
        scalars = (
            self.id,
            self.country,
            self.location,
            self.path,
            self.category,
            self.country_in_path,
        )
        roles: list[tuple[Role, ColumnOrConstant | None]] = [
            *(("scalar", ref) for ref in scalars),
            ("picture", self.picture),
            *(("number", column) for column in self.scores.values()),
        ]
        for view in self.examples:
            roles += [
                ("text", view.question),
                ("texts", view.options),
                ("texts" if view.each else "text", view.answer),
                ("index", view.choice.column if view.choice else None),
                ("turns", view.turns),
                ("scalar", view.language),
            ]
        return [(ref, role) for role, ref in roles if isinstance(ref, str)]


ENGLISH = Constant(value="en")
# Sources: https://huggingface.co/datasets/SEACrowd/sea-vl_crowdsourcing and .../sea-vl_crawling,
# neulab/CulturalGround, afaji/cvqa, worldcuisines/vqa and worldcuisines/vqa-v1.1.
KNOWN_MAPPINGS = MappingProxyType(
    {
        "sea-vl-crowdsourcing": ColumnMapping(
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
                View(format="caption", name="en", answer="caption", language=ENGLISH),
                View(
                    format="caption",
                    name="native",
                    answer="caption_native_lang",
                    language="native_lang",
                ),
            ],
        ),
        # Neither an id nor a country: the crawl is of the region as a whole.
        "sea-vl-crawling": ColumnMapping(
            picture="image",
            category="category",
            examples=[View(format="caption", answer="caption", each=True, language=ENGLISH)],
        ),
        # The language does not say the country; pictures are in a folder for each country.
        "cultural-ground": ColumnMapping(
            id="id",
            picture="image",
            country_in_path="image",
            path="image",
            examples=[View(format="chat", turns="conversations", language="language")],
        ),
        "cvqa": ColumnMapping(
            id="ID",
            picture="image",
            country="Subset",
            category="Category",
            examples=[
                View(
                    format="multiple_choice",
                    name=name,
                    question=f"{prefix}Question",
                    options=f"{prefix}Options",
                    choice=ChoiceColumn(column="Label", base=0),
                    language=language,
                )
                for name, prefix, language in (
                    ("local", "", "Subset"),
                    ("en", "Translated ", ENGLISH),
                )
            ],
        ),
        "world-cuisines": ColumnMapping(
            id="qa_id",
            picture="image_url",
            category=Constant(value="cuisine"),
            examples=[
                View(
                    format="multiple_choice",
                    question="multi_choice_prompt",
                    choice=ChoiceColumn(column="multi_choice_answer", base=1, count=5),
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
        # mteb's retrieval sets hold pictures and texts apart, so each is held out by itself.
        "mteb-pictures": ColumnMapping(id="id", picture="image", examples=[]),
        "mteb-texts": ColumnMapping(
            id="id", examples=[View(format="caption", answer="text", language=ENGLISH)]
        ),
        "world-cuisines-1.1": ColumnMapping(
            picture="image_path",
            category=Constant(value="cuisine"),
            examples=[
                View(
                    format="multiple_choice",
                    question="question",
                    options="options",
                    choice=ChoiceColumn(column="mcq_answer_index", base=0),
                )
            ],
        ),
    }
)
