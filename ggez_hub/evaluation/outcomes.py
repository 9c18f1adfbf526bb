"""What came out, item by item: the raw material of every score."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.evaluation.betas import Beta

# Given as the answer where none could be read from what the model said.
UNPARSED = ""


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
    """

    images: tuple[str | None, ...]
    prompts: tuple[str | None, ...]
    raw: tuple[str | None, ...]
    log_likelihoods: tuple[tuple[float, ...] | None, ...]
    countries: tuple[str | None, ...]
    languages: tuple[str | None, ...]
    categories: tuple[str | None, ...]
    options: tuple[tuple[str, ...] | None, ...]
    readers: tuple[int | None, ...]

    @classmethod
    def of(cls, n: int, **known: Any) -> Details:
        """Details of n answers; what is not given is not known."""
        blank: dict[str, Any] = dict.fromkeys(cls.__dataclass_fields__, (None,) * n)
        return cls(**{**blank, **{name: tuple(values) for name, values in known.items()}})

    def take(self, rows: NDArray[np.intp]) -> Details:
        """The details of some rows."""
        return Details(
            **{
                name: tuple(getattr(self, name)[row] for row in rows)
                for name in self.__dataclass_fields__
            }
        )

    def joined(self, other: Details) -> Details:
        """The details of both, these first."""
        return Details(
            **{
                name: getattr(self, name) + getattr(other, name)
                for name in self.__dataclass_fields__
            }
        )


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
    credit     (n,) float64 in [0, 1]: the share of a question of several parts that is right; None
               where a question is right or wrong. `correct` means all of it
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

    def __len__(self) -> int:
        return len(self.items)

    @property
    def pictures(self) -> tuple[str, ...]:
        """What the questions are about: the picture where it is known, else the item itself."""
        if self.details is None:
            return self.items
        return tuple(i or item for i, item in zip(self.details.images, self.items, strict=True))

    @property
    def values(self) -> NDArray[np.float64]:
        """What each question is worth (n,), 0 to 1: the score is their mean."""
        return self.correct.astype(np.float64) if self.credit is None else self.credit

    @property
    def unparsed(self) -> int:
        """How many answers could not be read."""
        return self.predicted.count(UNPARSED)

    def where(self, keep: NDArray[np.bool_]) -> Outcomes:
        """The questions for which `keep` (n,) is true; of the missing ones none."""
        rows = np.flatnonzero(keep)

        def of(values: tuple[str, ...]) -> tuple[str, ...]:
            return tuple(values[row] for row in rows)

        return replace(
            self,
            items=of(self.items),
            gold=of(self.gold),
            predicted=of(self.predicted),
            rank=self.rank[rows],
            correct=self.correct[rows],
            chance=self.chance[rows],
            missing=(),
            details=self.details.take(rows) if self.details else None,
            credit=None if self.credit is None else self.credit[rows],
        )

    def joined(self, other: Outcomes) -> Outcomes:
        """The questions of both, these first; an item of both splits stands there twice."""
        details = None
        if self.details or other.details:
            first = self.details or Details.of(len(self))
            details = first.joined(other.details or Details.of(len(other)))
        return Outcomes(
            items=self.items + other.items,
            gold=self.gold + other.gold,
            predicted=self.predicted + other.predicted,
            rank=np.concatenate([self.rank, other.rank]),
            correct=np.concatenate([self.correct, other.correct]),
            chance=np.concatenate([self.chance, other.chance]),
            missing=self.missing + other.missing,
            details=details,
            credit=np.concatenate([self.values, other.values])
            if self.credit is not None or other.credit is not None
            else None,
        )
