"""The cache of what models answered: nothing is computed twice, and a run that was killed goes on.

An answer follows from the model, the picture, what is asked and how. In the user's cache there is an
SQLite file for each model, named by its digest; in it each answer has the digest of what was
asked as its key, whatever task asks it. Several processes may read and write it at once.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from ggez_hub.errors import GgezError
from ggez_hub.progress import task

Q = TypeVar("Q")
# Questions whose answers are kept together: as many as are lost if a run is killed.
CHUNK = 32
# Another process holds the file for no longer than it takes to write one chunk.
PATIENCE = 60.0
MOST_KEYS = 500
# What comes before the bytes of either.
VECTOR, FILE = b"v", b"f"
TABLE = "CREATE TABLE IF NOT EXISTS answers (key TEXT PRIMARY KEY, value) WITHOUT ROWID"


class AnswerCache:
    """The answers of one model by the digest of what was asked, in a file or in memory alone.

    An answer is a JSON value, a vector of float32, or a file's bytes.
    """

    def __init__(self, path: Path | None = None) -> None:
        """Open or make the file; raises GgezError, and OSError where it cannot be made."""
        self._path = path
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not path.exists():
                path.touch(mode=0o600)
        self._file = sqlite3.connect(path or ":memory:", timeout=PATIENCE, isolation_level=None)
        self._execute(TABLE)

    def find(self, keys: Collection[str]) -> dict[str, Any]:
        """The answers that are known, of these."""
        wanted, found = list(keys), {}
        for start in range(0, len(wanted), MOST_KEYS):
            part = wanted[start : start + MOST_KEYS]
            places = ",".join("?" * len(part))
            for key, value in self._execute(
                f"SELECT key, value FROM answers WHERE key IN ({places})",  # noqa: S608 - marks only
                part,
            ):
                found[key] = _read(value)
        return found

    def keep(self, answers: Mapping[str, Any]) -> None:
        rows = [(key, _written(value)) for key, value in answers.items()]
        # A kept answer only saves time: a full disk is not a failure.
        with suppress(sqlite3.OperationalError):
            self._file.execute("BEGIN IMMEDIATE")
            try:
                self._file.executemany("INSERT OR IGNORE INTO answers VALUES (?, ?)", rows)
                self._file.execute("COMMIT")
            finally:
                if self._file.in_transaction:
                    self._file.execute("ROLLBACK")

    def close(self) -> None:
        self._file.close()

    def _execute(self, sql: str, values: Collection[str] = ()) -> list[tuple[str, Any]]:
        try:
            return self._file.execute(sql, tuple(values)).fetchall()
        except sqlite3.DatabaseError as error:
            raise GgezError(
                f"{self._path} cannot be read: {error}",
                "Remove it, or give --no-cache: it only saves time.",
            ) from error


def answers_of(model: str) -> AnswerCache:
    """The kept answers of the model with this digest, in the user's cache."""
    import platformdirs

    return AnswerCache(platformdirs.user_cache_path("ggez-hub") / "answers" / f"{model}.sqlite")


def answer_once(
    asked: Mapping[str, Q],
    known: AnswerCache,
    compute: Callable[[list[Q]], Iterable[Any]],
    chunk: int = CHUNK,
) -> dict[str, Any]:
    """The answer to each question, by its digest; those that are not known are computed, and kept."""
    found = known.find(asked)
    new = [key for key in asked if key not in found]
    if not new:
        return found
    with task("answers", len(new)) as answering:
        for start in range(0, len(new), chunk):
            part = new[start : start + chunk]
            answers: dict[str, Any] = {}
            try:
                for key, answer in zip(part, compute([asked[key] for key in part]), strict=True):
                    answers[key] = answer
                    answering.advance()
            finally:
                # What came before a failure is not asked again.
                known.keep(answers)
            found |= answers
    return found


@dataclass(frozen=True)
class Work(Generic[Q]):
    """Inputs with the digest of what is asked of each, the same one for the same question.

    `compute` gives the answers to a list of inputs, of which `chunk` are computed together.
    """

    keys: Sequence[str]
    inputs: Sequence[Q]
    known: AnswerCache
    compute: Callable[[list[Q]], Iterable[Any]]
    chunk: int = CHUNK

    def answers(self) -> list[Any]:
        """The answer to each input, in their order."""
        found = self.answer(dict(zip(self.keys, self.inputs, strict=True)))
        return [found[key] for key in self.keys]

    def answer(self, asked: Mapping[str, Q]) -> dict[str, Any]:
        """The answers to some of the inputs, by digest."""
        return answer_once(asked, self.known, self.compute, self.chunk)


def _written(value: Any) -> str | bytes:
    if isinstance(value, np.ndarray):
        return VECTOR + np.ascontiguousarray(value, dtype="<f4").tobytes()
    return FILE + value if isinstance(value, bytes) else json.dumps(value, ensure_ascii=False)


def _read(value: str | bytes) -> Any:
    if isinstance(value, str):
        return json.loads(value)
    content = value[1:]
    return np.frombuffer(content, dtype="<f4") if value[:1] == VECTOR else content
