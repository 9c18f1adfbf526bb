"""What models answered, item by item: the raw material of every score."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ggez_hub.cards.values import UNKNOWN, LanguageTag, RegionId, RepoId, Sha256, Unknown
from ggez_hub.frozen_model import FrozenModel
from ggez_hub.parity.betas import Beta

# What a score is the mean over: its questions, or parts of them that count alike. The mean over the
# right answers is balanced accuracy.
Average: TypeAlias = Literal["questions", "countries", "languages", "categories", "answers"]
QUESTIONS: Average = "questions"
ANSWERS: Average = "answers"

# Given as the answer where none could be read from what the model said.
UNPARSED = ""


class TaskRecord(FrozenModel):
    """What has to be known of a task to make parity of its answers.

    `average` is what its score is the mean over. `gallery` is how many pictures a search was among,
    and `published` how many it is among where figures of others come from. `runs` is how many
    independent runs of the model each answer is the mean of.
    """

    metric: str
    judge: str = "none"
    side: Literal["global", "others", "regional", "safety"]
    regions: list[RegionId] = Field(default_factory=list)
    language: LanguageTag | Unknown = UNKNOWN
    dataset: RepoId | Unknown = UNKNOWN
    revision: str = UNKNOWN
    digests: dict[str, Sha256] = Field(default_factory=dict)
    average: Average = QUESTIONS
    gallery: int | None = None
    published: int | None = None
    runs: int = Field(default=1, ge=1)

    @property
    def scale(self) -> str:
        return self.metric if self.judge == "none" else f"{self.metric} by {self.judge}"


class Cell(NamedTuple):
    """A place of the grid."""

    beta: Beta
    task: str
    split: str

    def __str__(self) -> str:
        return f"{self.task}/{self.split} at beta {self.beta:g}"


@dataclass(frozen=True)
class Details:
    """What else is recorded of n answers; None where something is not.

    images           sha256 of the picture's file: questions about one picture stand together
    prompts          sha256 of the prompt as the model got it
    raw              what the model said, before an answer was read from it
    log_likelihoods  of the options, in their order; similarities for a model of embeddings
    options          where they were shown, as they were shown: in this order, which the seed decides
    readers          the version of the reader that read the answer from `raw`
    countries, languages, categories   what the item is about: ISO 3166-1, BCP 47, the data's own
    prompt_languages  what the prompt's text is identified as (BCP 47), whatever the data say
    """

    images: tuple[str | None, ...]
    prompts: tuple[str | None, ...]
    raw: tuple[str | None, ...]
    log_likelihoods: tuple[tuple[float, ...] | None, ...]
    countries: tuple[str | None, ...]
    languages: tuple[str | None, ...]
    categories: tuple[str | None, ...]
    prompt_languages: tuple[str | None, ...]
    options: tuple[tuple[str, ...] | None, ...]
    readers: tuple[int | None, ...]

    @classmethod
    def of(cls, n: int, **known: Any) -> Details:
        """Details of n answers; what is not given is not known."""
        blank: dict[str, Any] = dict.fromkeys(cls.__dataclass_fields__, (None,) * n)
        return cls(**{**blank, **{name: tuple(values) for name, values in known.items()}})

    def take(self, rows: NDArray[np.intp]) -> Details:
        return Details(**{name: _take(values, rows) for name, values in vars(self).items()})

    def joined(self, other: Details) -> Details:
        """The details of both, these first."""
        return Details(**{name: own + getattr(other, name) for name, own in vars(self).items()})


@dataclass(frozen=True, eq=False)
class Outcomes:
    """The answers of one model to the n questions of one task and split.

    items      ids of the questions; unique
    gold       id of the right answer
    predicted  id of the answer given; UNPARSED where none could be read, which is a wrong answer
    rank       (n,) int32: 1 + the wrong candidates that score at least as high as the best right one
    correct    (n,) bool: rank == 1
    chance     (n,) float64 in [0, 1]: the probability that guessing is right; 0 if nobody can guess
    missing    ids of questions that were not asked, because their picture is gone
    details    what else is recorded of the n answers
    credit     (n,) float64 in [0, 1]: the share of a question of several parts, or of the runs that
               answered it, that is right; None where a question is right or wrong. `correct` means
               all of it
    average    what the score is the mean over; the task decides it (see TaskRecord)
    """

    items: tuple[str, ...]
    gold: tuple[str, ...]
    predicted: tuple[str, ...]
    rank: NDArray[np.int32]
    correct: NDArray[np.bool_]
    chance: NDArray[np.float64]
    missing: tuple[str, ...] = ()
    details: Details | None = None
    credit: NDArray[np.float64] | None = None
    average: Average = QUESTIONS

    def __len__(self) -> int:
        return len(self.items)

    @classmethod
    def unasked(cls, missing: tuple[str, ...]) -> Outcomes:
        """Those of questions of which none was asked."""
        none = np.zeros(0)
        return cls((), (), (), none.astype(np.int32), none.astype(np.bool_), none, missing)

    def recorded(self, column: str) -> tuple[Any, ...]:
        """A column (n) of the details; None where something is not recorded."""
        known: tuple[Any, ...] = getattr(self.details, column, (None,) * len(self))
        return known

    def with_details(self, **columns: Sequence[Any]) -> Outcomes:
        """The same with more recorded beside the answers (n)."""
        details = self.details or Details.of(len(self))
        found: dict[str, Any] = {name: tuple(values) for name, values in columns.items()}
        return replace(self, details=replace(details, **found))

    @property
    def pictures(self) -> tuple[str, ...]:
        """What the questions are about: the picture where it is known, else the item itself."""
        images = self.recorded("images")
        return tuple(image or item for image, item in zip(images, self.items, strict=True))

    @property
    def worth(self) -> NDArray[np.float64]:
        """What each question is worth (n,), 0 to 1."""
        return self.correct.astype(np.float64) if self.credit is None else self.credit

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Numbers (n,) whose plain mean is the score, in whatever way the task averages.

        They are `worth` for a micro average. For a macro average, with the weight w_i of a question
        and the mean m_k of its part, they are

            mean_k(m_k) + w_i * (worth_i - m_k),

        the linearised contributions of the questions: their deviations from the mean are what a
        question adds to the error of the score where the sizes of the parts are fixed.
        """
        return self._averaged(self.worth)

    @cached_property
    def weights(self) -> NDArray[np.float64]:
        """How much each question counts (n,), 1 on average: the score is the mean of weight * worth.

        1 for a micro average; n / (K n_k) for a question of a part k of K with n_k questions.
        """
        part = self._parts
        sizes = np.bincount(part)
        return np.asarray(len(self) / (len(sizes) * sizes[part]))

    @property
    def floor(self) -> float:
        """What guessing gets, 0 to 1, averaged as the score is."""
        return math.fsum(self._averaged(self.chance)) / len(self)

    def by(self, average: Average) -> Outcomes:
        """The same, with the score as a mean over other parts."""
        return self if average == self.average else replace(self, average=average)

    def _averaged(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.average == QUESTIONS or not len(self):
            return values
        part = self._parts
        means = np.bincount(part, values) / np.bincount(part)
        return np.asarray(means.mean() + self.weights * (values - means[part]))

    @cached_property
    def _parts(self) -> NDArray[np.intp]:
        """The number of the part that each question is in (n,)."""
        if self.average == QUESTIONS:
            return np.zeros(len(self), np.intp)
        named = self._labels if self.average == ANSWERS else self.recorded(self.average)
        number = {name: place for place, name in enumerate(dict.fromkeys(named))}
        return np.array([number[name] for name in named], np.intp)

    @property
    def _labels(self) -> tuple[Any, ...]:
        """The label of each right answer (n): its place where options were shown, else itself."""
        shown = self.recorded("options")
        return tuple(
            options.index(gold) if options and gold in options else gold
            for gold, options in zip(self.gold, shown, strict=True)
        )

    @property
    def unparsed(self) -> int:
        return self.predicted.count(UNPARSED)

    def where(self, keep: NDArray[np.bool_]) -> Outcomes:
        """The questions for which `keep` (n,) is true; of the missing ones none."""
        rows = np.flatnonzero(keep)
        return replace(
            self,
            items=_take(self.items, rows),
            gold=_take(self.gold, rows),
            predicted=_take(self.predicted, rows),
            rank=self.rank[rows],
            correct=self.correct[rows],
            chance=self.chance[rows],
            missing=(),
            details=self.details.take(rows) if self.details else None,
            credit=None if self.credit is None else self.credit[rows],
        )

    def overlaid(self, other: Outcomes, rows: NDArray[np.bool_]) -> Outcomes:
        """The same questions, with the answers of `other` where `rows` (n,) is true.

        What is recorded beside the answers stays that of these. Raises ValueError unless `other`
        answers the same items in the same order.
        """
        if self.items != other.items:
            raise ValueError("the two do not answer the same questions")
        answers = zip(self.predicted, other.predicted, rows, strict=True)
        has_credit = self.credit is not None or other.credit is not None
        return replace(
            self,
            predicted=tuple(b if taken else a for a, b, taken in answers),
            rank=np.where(rows, other.rank, self.rank).astype(np.int32),
            correct=np.where(rows, other.correct, self.correct),
            credit=np.where(rows, other.values, self.values) if has_credit else None,
        )

    def joined(self, other: Outcomes) -> Outcomes:
        """The questions of both, these first; an item of both splits is there twice."""
        details = None
        if self.details or other.details:
            first = self.details or Details.of(len(self))
            details = first.joined(other.details or Details.of(len(other)))
        return Outcomes(
            average=self.average,
            items=self.items + other.items,
            gold=self.gold + other.gold,
            predicted=self.predicted + other.predicted,
            rank=np.concatenate([self.rank, other.rank]),
            correct=np.concatenate([self.correct, other.correct]),
            chance=np.concatenate([self.chance, other.chance]),
            missing=self.missing + other.missing,
            details=details,
            credit=np.concatenate([self.worth, other.worth])
            if self.credit is not None or other.credit is not None
            else None,
        )


def _take(values: tuple[Any, ...], rows: NDArray[np.intp]) -> tuple[Any, ...]:
    return tuple(values[row] for row in rows)


Answers: TypeAlias = Mapping[Cell, Outcomes]
