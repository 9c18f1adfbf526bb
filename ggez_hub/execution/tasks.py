"""Tasks, the markers of those that are done, and how they fail."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, Protocol, TypeAlias, TypeVar

F = TypeVar("F")
# What a task does, by its number. It is pickled: a function of a module, or a `partial` of one.
Task: TypeAlias = Callable[[int], object]


class WorkerLost(Exception):
    """The process of a task ended without an answer, again and again."""

    def __init__(self, number: int) -> None:
        super().__init__("the worker of a task was killed each time that it ran")
        self.number = number

    def __reduce__(self) -> tuple[type[WorkerLost], tuple[int]]:
        return WorkerLost, (self.number,)


class EngineFailed(Exception):
    """What runs the tasks refused to, or was stopped by somebody."""


class Executor(Protocol):
    """What runs tasks, so many at once."""

    workers: int

    def run(self, task: Marked, numbers: Sequence[int], device: str = "") -> Generator[int]:
        """Yield the number of each task when it is done, in any order.

        `device` is where tasks with a model run it, as torch calls it: of these, one machine that is
        not shared out by a scheduler runs one at a time, and on `cuda` each gets a GPU of its own.
        A task whose worker is lost is run again. Raises WorkerLost where that does not help, EngineFailed,
        and what a task raises: no further task is started then, and those that run are waited for.
        """

    def close(self) -> None:
        """Let go of what is held for further runs."""


@dataclass(frozen=True)
class Marked:
    """A task that leaves a marker when it is done."""

    task: Task
    markers: Path

    def __call__(self, number: int) -> None:
        try:
            self.task(number)
        except Exception as error:
            error.add_note(note_of(number, self.markers))
            raise portable(error) from None
        marker_of(self.markers, number).touch()


def note_of(number: int, markers: Path) -> str:
    """Which task an error is of."""
    return f"task {number} of {markers.name}"


def portable(error: Exception) -> Exception:
    """The error, or its text where it does not survive the way to another process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - its own bytes
    except Exception:
        told = RuntimeError(f"{type(error).__name__}: {error}")
        for note in error.__notes__:
            told.add_note(note)
        return told
    return error


def marker_of(markers: Path, number: int) -> Path:
    """The file that is there when a task is done."""
    return markers / f"{number:06d}"


def run_tasks(
    executor: Executor,
    task: Task,
    count: int,
    markers: Path,
    *,
    device: str = "",
    did: Callable[[], None] = lambda: None,
) -> None:
    """Run tasks 0 to `count` - 1, but those with a marker in the folder `markers`.

    `did` is called for each task that is done. Raises as `Executor.run` does, with the task as a note.
    """
    markers.mkdir(parents=True, exist_ok=True)
    done = {path.name for path in markers.iterdir()}
    left = []
    for number in range(count):
        if marker_of(markers, number).name in done:
            did()
        else:
            left.append(number)
    if left:
        try:
            with closing(executor.run(Marked(task, markers), left, device)) as finished:
                for _ in finished:
                    did()
        except WorkerLost as error:
            # First, where there are others, as the place of its log.
            notes = getattr(error, "__notes__", [])
            error.__notes__ = [note_of(error.number, markers), *notes]
            raise


class InFlight(Generic[F]):
    """Tasks that are running, by the handle that their executor has of each."""

    def __init__(self, numbers: Iterable[int], most: int) -> None:
        self._waiting = list(numbers)[::-1]
        self._most = most
        self.running: dict[F, int] = {}
        self.failed: dict[int, BaseException] = {}

    def start(self, submit: Callable[[int], F]) -> None:
        """Submit as many as there is room for; none after a failure."""
        while self._waiting and not self.failed and len(self.running) < self._most:
            # It waits until it is submitted: that may fail.
            handle = submit(self._waiting[-1])
            self.running[handle] = self._waiting.pop()

    def raise_first(self) -> None:
        """Raise what the task with the lowest number raised, if one did."""
        if self.failed:
            raise self.failed[min(self.failed)]
