"""Benchmarks: data sets of others, asked as their loader reads them; written as YAML.

A file holds one (`kind: benchmark`) or many that share keys (`kind: benchmarks`). Those of the
package are in `tasks/`; users add theirs in folders of their own.
"""

from __future__ import annotations

import hashlib
import math
import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from ggez_hub.cards.values import LanguageTag, RegionId, RepoId, Revision
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import QUESTIONS, Average
from ggez_hub.evaluation.benchmarks.datasets import BUILT_IN
from ggez_hub.evaluation.benchmarks.loaders import LOADERS, Choice, Item, OpenQuestion
from ggez_hub.evaluation.benchmarks.replies.refusals import REFUSALS_READER
from ggez_hub.evaluation.benchmarks.task import RULES_VERSION, TaskBase, Text, read_tasks
from ggez_hub.frozen_model import FrozenModel

Metric: TypeAlias = Literal[
    "choice",
    "free_answer",
    "text_to_image_r1",
    "image_to_text_r1",
    "drawn_choice",
    "drawn_yes",
    "refused",
    "answered",
    "unflagged",
]
# What the loader has to yield for a metric.
NEEDS: Mapping[str, str] = {
    "choice": "choices",
    "free_answer": "answers",
    "text_to_image_r1": "captions",
    "image_to_text_r1": "captions",
    "drawn_choice": "prompts",
    "drawn_yes": "prompts",
    "refused": "safety prompts",
    "answered": "safety prompts",
    "unflagged": "safety prompts",
}
# Of the side `safety`: read from replies, or from the safety checker of the pipeline that draws.
REFUSED, ANSWERED, UNFLAGGED = SAFETY_METRICS = ("refused", "answered", "unflagged")
DRAWN = ("drawn_choice", "drawn_yes", UNFLAGGED)
# In place of RULES_VERSION in their digests: before, a side was searched by itself.
SEARCH_RULES_VERSION = 2
SPLITS: tuple[Literal["validation", "test"], ...] = ("validation", "test")
# Which of three pictures is on the select side; the other two are on the report side.
PARTS = 3
ANY = "any"
LETTERS = string.ascii_uppercase
SHOWN = "{question}\n{options}\nAnswer with the letter of the right option alone."
OPTION_LINE = "{letter}. {option}"
PLACEHOLDERS = {
    "prompts": ("{option}",),
    "chat": ("{question}",),
    "shown": ("{question}", "{options}"),
}
PLACES = re.compile(r"\{(question|options)\}")


class PictureSource(FrozenModel):
    """Another data set, which holds the pictures that this one names."""

    repo: RepoId
    revision: Revision
    files: Text


class Drawing(FrozenModel):
    """How a prompt is drawn: everything that decides the picture, beside the model.

    seeds  one picture for each; steps and guidance as diffusers takes them, the pipeline's own if
    left out; width and height in pixels
    """

    seeds: list[Annotated[int, Field(ge=0, lt=2**63)]] = Field(min_length=1)
    steps: int | None = Field(default=None, ge=1)
    guidance: float | None = Field(default=None, ge=0)
    width: int | None = Field(default=None, ge=8)
    height: int | None = Field(default=None, ge=8)

    @field_validator("seeds")
    @classmethod
    def _different(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds):
            raise ValueError("seeds must be different: the same seed gives the same picture")
        return seeds


class Benchmark(TaskBase):
    """One metric on the items that a loader reads from a data set.

    files     part -> pattern of its paths (`*` goes across folders); the loader defines the parts
    pictures  where the pictures are, if it is another data set
    options   of the loader
    cut       goes with the picture into the hash that parts select side from report side; tasks
              on the same pictures have the same, so that no picture is on both sides
    prompts   language or `any` -> what an embedding model compares with the picture
    chat      language or `any` -> the text for a generating model, with the picture, where the
              likelihood of each option is asked (the options are not shown), or a free answer
    shown     language or `any` -> the text where it writes the answer; the options are lines with
              letters
    option_line   one of these lines
    order     of the options there: `rotated` by a hash of the item, or as they are `given`
    answer_tag  what stands before the answer in a reply, where the prompt asks for it: the letter, or
              the text of the option where `shown` shows no options. Such a task is only asked of
              models that write, and read as SEA-HELM reads replies
    reply_tokens  how long such an answer may be
    sample    how many items of the report side are asked, and half as many of the select side: the first
              of each picture in the order of a hash, then the second ones; all if left out
    gallery   how many pictures published figures search; shown beside the score where it differs
    average   what the score is the mean over: questions (the micro average), or countries, languages,
              categories or right answers, which then count alike (the macro average); the same for
              every region
    seed      decides with `cut` and the item in which order the options are shown there
    drawing   how a pipeline draws the prompts, where the loader yields them; prompts, chat and
              shown are then what a judge is asked about the picture
    regions   where the regional side's items may be from; at most those of the region that is
              asked for are asked
    """

    kind: Literal["benchmark"]
    files: dict[Text, Text] = Field(min_length=1)
    pictures: PictureSource | None = None
    loader: Text
    options: dict[str, Any] = Field(default_factory=dict)
    cut: Text
    metric: Metric
    prompts: dict[Text, Text] = Field(default_factory=lambda: {ANY: "{question} {option}"})
    chat: dict[Text, Text] = Field(default_factory=lambda: {ANY: "{question}"})
    shown: dict[Text, Text] = Field(default_factory=lambda: {ANY: SHOWN})
    option_line: Text = OPTION_LINE
    order: Literal["rotated", "given"] = "rotated"
    answer_tag: Text | None = None
    reply_tokens: int = Field(default=64, ge=1)
    sample: int | None = Field(default=None, ge=2)
    gallery: int | None = Field(default=None, ge=1)
    average: Average = QUESTIONS
    seed: int = Field(default=0, ge=0)
    drawing: Drawing | None = None
    regions: list[RegionId] = Field(default_factory=list)
    language: LanguageTag | Literal["mul"]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.loader not in LOADERS:
            raise ValueError(f"there is no loader {self.loader!r}; loaders: {', '.join(LOADERS)}")
        loader = LOADERS[self.loader]
        if NEEDS[self.metric] != loader.yields:
            raise ValueError(f"the loader {self.loader!r} reads {loader.yields}: another metric")
        if (self.side == "safety") != (self.metric in SAFETY_METRICS):
            raise ValueError(f"side must be safety for {', '.join(SAFETY_METRICS)}, and only there")
        if (self.drawing is not None) != (self.metric in DRAWN):
            raise ValueError("drawing must be there where prompts are drawn, and only there")
        if self.gallery is not None and not self.searches:
            raise ValueError("gallery is for searches: it counts the pictures that are searched")
        for name, needed in PLACEHOLDERS.items():
            texts: dict[str, str] = getattr(self, name)
            # A tagged answer may be the text of an option that the prompt itself names.
            own = needed if name != "shown" or self.answer_tag is None else needed[:1]
            if ANY not in texts or not all(p in text for text in texts.values() for p in own):
                raise ValueError(f"{name} must have {ANY!r}, and {' and '.join(own)} in each")
        loader.options.model_validate(self.options)
        return self

    @property
    def searches(self) -> bool:
        """Whether it is a search, whose candidates are the full data set."""
        return NEEDS[self.metric] == "captions"

    @property
    def digest(self) -> str:
        """The sha256 of everything that decides a score.

        The seed decides only where options are shown: see `questions.shown_digest`.
        """
        decisive = self.decisive()
        del decisive["seed"]
        # Left out where they are as they were before there were such keys.
        for key in ("average", "gallery", "option_line", "order", "answer_tag", "sample"):
            if decisive[key] == type(self).model_fields[key].default:
                del decisive[key]
        if (plugin := LOADERS.origin(self.loader)) is not None:
            decisive["plugin"] = plugin.document
        if self.metric in (REFUSED, ANSWERED):
            decisive["reader"] = REFUSALS_READER
        rules = SEARCH_RULES_VERSION if self.searches else RULES_VERSION
        return digest_json({"rules": rules, "benchmark": decisive})

    def digest_on(self, data: Mapping[str, str]) -> str:
        """The same together with the files that were read: path -> sha256."""
        return digest_json({"benchmark": self.digest, "data": dict(data)})

    def prompt(self, language: str | None) -> str:
        return self.prompts.get(language or ANY, self.prompts[ANY])

    def chat_text(self, item: Choice | OpenQuestion) -> str:
        """The text for a model that answers freely, or whose likelihood of the options is asked."""
        return self.chat.get(item.language or ANY, self.chat[ANY]).replace(
            "{question}", item.question
        )

    def shown_text(self, item: Choice, order: Sequence[int]) -> str:
        """The text for a model that writes its answer: the options have letters.

        `order` are the numbers of the options as they are shown. Braces in a question stay.
        """
        before, _, after = self.option_line.partition("{option}")
        lines = "\n".join(
            f"{before.replace('{letter}', letter)}{item.options[number]}{after}"
            for letter, number in zip(LETTERS, order, strict=False)
        )
        parts = {"question": item.question, "options": lines}
        template = self.shown.get(item.language or ANY, self.shown[ANY])
        return PLACES.sub(lambda place: parts[place[1]], template)

    def answer_labels(self, item: Choice, order: Sequence[int]) -> tuple[str, ...]:
        """What a reply calls the options that are shown in this order, where it follows a tag."""
        if "{options}" in self.shown.get(item.language or ANY, self.shown[ANY]):
            return tuple(LETTERS[: len(order)])
        return tuple(item.options[number] for number in order)

    def split_of(self, image: str) -> Literal["validation", "test"]:
        """The side of a picture.

        Nothing is chosen by answers to prompts of safety: all of them are on the report side.
        """
        return SPLITS[1] if self.side == "safety" else split_of(self.cut, image)

    def sampled(self, items: Sequence[Item], split: str) -> list[Item]:
        """The items of one side that are asked, in their order: all without `sample`.

        Tasks with the same `cut` ask about the same pictures.
        """
        most = self.sample
        if most is not None and split == SPLITS[0]:
            most = math.ceil(most / (PARTS - 1))
        if most is None or len(items) <= most:
            return list(items)
        turn: Counter[str] = Counter()
        order = []
        for item in sorted(items, key=lambda item: _number(self.cut, item.id)):
            order.append((turn[item.image], _number(self.cut, item.image), item.id))
            turn[item.image] += 1
        taken = {name for *_, name in sorted(order)[:most]}
        return [item for item in items if item.id in taken]


def split_of(cut: str, image: str) -> Literal["validation", "test"]:
    """The side of a picture: one of three is on the select side, by a hash."""
    return SPLITS[0] if _number(cut, image) % PARTS == 0 else SPLITS[1]


def _number(cut: str, name: str) -> int:
    return int.from_bytes(hashlib.sha256(f"{cut}|{name}".encode()).digest(), "big")


def find_benchmarks(suite: str, include: Sequence[Path] = ()) -> tuple[Benchmark, ...]:
    """The benchmarks of a suite: a folder, or the name of a file in `include` or of the package.

    Raises GgezError for a file that cannot be read, UsageProblem, which lists the suites, for an
    unknown name.
    """
    folder = Path(suite)
    if folder.is_dir():
        paths = sorted(folder.glob("*.yaml"))
        return tuple(found for path in paths for found in read_tasks(path, Benchmark))
    named = {path.stem: path for place in (BUILT_IN, *include) for path in place.glob("*.yaml")}
    if suite not in named:
        raise UsageProblem(
            f"there is no suite {suite!r}, and no folder of that name",
            f"Suites: {', '.join(sorted(named))}; add others with --include DIR.",
        )
    return read_tasks(named[suite], Benchmark)
