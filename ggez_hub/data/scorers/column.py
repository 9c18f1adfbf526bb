"""Scores that the sources have already."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ggez_hub.data.scorers.base import Scored
from ggez_hub.data.scorers.spec import ColumnScorer


@dataclass(frozen=True)
class ColumnScores:
    """The number of that name among a row's scores; none where the row has none."""

    column: str
    languages: frozenset[str]

    @classmethod
    def of(cls, spec: ColumnScorer, base: Path) -> ColumnScores:
        """The scorer of a spec."""
        del base
        return cls(spec.column, frozenset(spec.languages))

    @property
    def name(self) -> str:
        return f"column {self.column}"

    def score(self, rows: Sequence[Scored]) -> list[float | None]:
        return [
            next((s["value"] for s in row["scores"] or () if s["name"] == self.column), None)
            for row in rows
        ]
