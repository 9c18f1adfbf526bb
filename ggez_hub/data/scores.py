"""Scores on disk while a filter runs: killed in the midst of a part, it asks for none again."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path

from ggez_hub.data.scorers.base import Scored, Scorer


class Scores:
    """The scores of each chunk of each part.

    A chunk, not a row: a model may score a row otherwise in another batch, and the chunks of a part
    are the same whenever it is judged.
    """

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path)
        self._base.execute(
            "CREATE TABLE IF NOT EXISTS scores (part INTEGER, chunk INTEGER, scores TEXT,"
            " PRIMARY KEY (part, chunk)) WITHOUT ROWID"
        )

    def through(
        self, scorer: Scorer, part: int, chunk: int, rows: Sequence[Scored]
    ) -> list[float | None]:
        """The scores of a chunk's rows; the scorer is asked if they are not there."""
        found = self._base.execute(
            "SELECT scores FROM scores WHERE part = ? AND chunk = ?", (part, chunk)
        ).fetchone()
        if found is not None:
            known: list[float | None] = json.loads(found[0])
            return known
        scores = scorer.score(rows)
        self._base.execute("INSERT INTO scores VALUES (?, ?, ?)", (part, chunk, json.dumps(scores)))
        self._base.commit()
        return scores

    def close(self) -> None:
        """Close the file."""
        self._base.close()
