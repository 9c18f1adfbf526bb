"""Where the answers of one model meet that several tasks compute.

Each task writes into a file of its own, and reads those of tasks that are done: no file has two writers,
also on a file system that machines share.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ggez_hub.evaluation.answers.cache import AnswerCache

SUFFIX = ".sqlite"


class Meeting:
    """The files that this process writes and reads now; a model that stays in memory keeps it."""

    def __init__(self, folder: Path | None = None) -> None:
        """Read the files in `folder`, and write none."""
        self._own, self._others = (
            AnswerCache(),
            _opened(folder.glob(f"*{SUFFIX}") if folder else []),
        )

    def go_to(self, folder: Path, name: str, beside: str = "") -> None:
        """Write the file `name` of a folder; those that match the pattern `beside` are not read."""
        self.close()
        self._own = AnswerCache(folder / f"{name}{SUFFIX}")
        left_out = {name, *(path.stem for path in folder.glob(f"{beside}{SUFFIX}") if beside)}
        self._others = _opened(p for p in folder.glob(f"*{SUFFIX}") if p.stem not in left_out)

    def find(self, keys: Collection[str]) -> dict[str, Any]:
        return _find(keys, [self._own, *self._others])

    def keep(self, answers: Mapping[str, Any]) -> None:
        self._own.keep(answers)

    def close(self) -> None:
        for cache in (self._own, *self._others):
            cache.close()


class MetAnswers(AnswerCache):
    """A model's answers that meet, before those that `kept` has; what is new is kept in both."""

    def __init__(self, meeting: Meeting, kept: AnswerCache) -> None:
        self._meeting, self._kept = meeting, kept

    def find(self, keys: Collection[str]) -> dict[str, Any]:
        found = self._meeting.find(keys)
        known = self._kept.find([key for key in keys if key not in found])
        # Another machine may not have it.
        self._meeting.keep(known)
        return found | known

    def keep(self, answers: Mapping[str, Any]) -> None:
        self._meeting.keep(answers)
        self._kept.keep(answers)

    def close(self) -> None:
        self._kept.close()


def _find(keys: Collection[str], caches: Collection[AnswerCache]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for cache in caches:
        if left := [key for key in keys if key not in found]:
            found |= cache.find(left)
    return found


def _opened(paths: Any) -> list[AnswerCache]:
    return [AnswerCache(path) for path in sorted(paths)]
