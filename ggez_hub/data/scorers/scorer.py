"""What a reward scorer is, and the one that reads scores of the source."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ggez_hub.data.rows import Row


@dataclass(frozen=True)
class Scorer(ABC):
    """A reward model, ready.

    `name` identifies it on the card; `languages` are those of the texts that it is made for.
    """

    name: str
    languages: frozenset[str]

    @abstractmethod
    def score(self, rows: Sequence[Row]) -> list[float | None]:
        """A score for each row, of its `image`, `text` and `scores`; None where there is none."""


@dataclass(frozen=True)
class ColumnScores(Scorer):
    """The number of that name among a row's scores; none where the row has none."""

    column: str

    def score(self, rows: Sequence[Row]) -> list[float | None]:
        return [
            next((score["value"] for score in row.scores if score["name"] == self.column), None)
            for row in rows
        ]
