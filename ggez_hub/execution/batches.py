"""Tasks for workers that a scheduler starts: what they do, in shares, and what became of them.

    task.json       what the tasks do, and the numbers of each share
    000007.json     what task 7 raised
    share-3.log     what the worker of a share printed

The folder is next to the markers, where every machine sees it.
"""

from __future__ import annotations

import json
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ggez_hub.execution.descriptions import describe, moved, restore
from ggez_hub.execution.tasks import Marked, marker_of


@dataclass(frozen=True)
class Batch:
    """The folder of some tasks."""

    folder: Path

    @classmethod
    def beside(cls, markers: Path) -> Batch:
        """The folder of the tasks that leave their markers in `markers`."""
        return cls(markers.absolute().with_name(f".{markers.name}.batch"))

    def write(self, task: Marked, numbers: Sequence[int], shares: int) -> None:
        """Write what to do, in `shares` of equal size; reports of earlier failures are removed.

        Raises NotDescribable where other processes cannot be told what the task does.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self._reports():
            path.unlink()
        document = {"task": describe(task), "shares": [numbers[n::shares] for n in range(shares)]}
        self._write(self.folder / "task.json", document)

    def run_share(self, share: int, moves: Mapping[str, str] | None = None) -> int:
        """Run the tasks of a share that are not done, none after a failure; returns an exit code.

        `moves` are folders that have another path here than where the batch was written.
        """
        document = self._document()
        task: Marked = restore(moved(document["task"], moves or {}))
        # Empty folders are not sent to machines that share files alone.
        task.markers.mkdir(parents=True, exist_ok=True)
        for number in document["shares"][share]:
            if self._reports():
                return 0
            if marker_of(task.markers, number).exists():
                continue
            print(f"task {number} of {task.markers.name}", flush=True)
            try:
                task(number)
            except Exception as error:
                traceback.print_exc()
                self._report(number, error)
                return 1
        return 0

    def share(self, number: int) -> int:
        """The share that a task is of."""
        shares = self._document()["shares"]
        return next(n for n, numbers in enumerate(shares) if number in numbers)

    def log(self, number: int) -> str:
        """The log of the worker that has a task."""
        return str(self.folder / f"share-{self.share(number)}.log")

    @property
    def has_failed(self) -> bool:
        """Whether a task raised something."""
        return bool(self._reports())

    def raise_first(self, log: Callable[[int], str] | None = None) -> None:
        """Raise what the task with the lowest number raised, if one did, with its log as a note."""
        for path in sorted(self._reports()):
            error = restore(json.loads(path.read_text(encoding="utf-8")))
            error.add_note(f"log: {(log or self.log)(int(path.stem))}")
            raise error

    def _document(self) -> Any:
        return json.loads((self.folder / "task.json").read_text(encoding="utf-8"))

    def _reports(self) -> list[Path]:
        return [path for path in self.folder.glob("*.json") if path.stem.isdecimal()]

    def _report(self, number: int, error: Exception) -> None:
        try:
            described = describe(error)
            restore(described)
        except Exception:  # its class or its arguments cannot be written as JSON
            told = RuntimeError(f"{type(error).__name__}: {error}")
            for note in getattr(error, "__notes__", ()):
                told.add_note(note)
            described = describe(told)
        self._write(self.folder / f"{number:06d}.json", described)

    def _write(self, path: Path, document: object) -> None:
        unfinished = path.with_name(f".{path.name}.{os.getpid()}.partial")
        unfinished.write_text(json.dumps(document, ensure_ascii=False), encoding="utf-8")
        unfinished.replace(path)


def main(arguments: Sequence[str]) -> int:
    """`python -m ggez_hub.execution FOLDER SHARE [MOVES]`: run a share of a batch; MOVES are JSON."""
    folder, share, *moves = arguments
    return Batch(Path(folder)).run_share(int(share), json.loads(moves[0]) if moves else None)
