"""Progress of long work on stderr: bars on a terminal, elsewhere one line at most every 30 s.

Long work opens a task, wherever it is. Tasks are shown only while a command asks for it
(`show_progress`), so that the Python API prints nothing.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

SECONDS_BETWEEN_LINES = 30.0

Unit: TypeAlias = Literal["bytes", "steps"]


class Task:
    """A piece of long work: what it is, and how much of it is done. Threads may share it."""

    def __init__(self, what: str, total: int | None, unit: Unit, display: Display) -> None:
        self.what, self.total, self.unit, self.done = what, total, unit, 0
        self._display = display
        self._lock = threading.Lock()
        # When work began, and after how much that had been done before.
        self._began: tuple[float, int] | None = None

    def advance(self, n: int = 1) -> None:
        """Count `n` more of them as done."""
        with self._lock:
            self.done += n
        self._changed()

    def update(self, done: int, total: int | None = None, what: str | None = None) -> None:
        """Set how much is done, and where given, of how much, and what the task is called."""
        with self._lock:
            self.done, self.total = done, self.total if total is None else total
            self.what = what or self.what
        self._changed()

    @property
    def amount(self) -> str:
        """How much is done, as text: `12 of 40`, `1.2 of 8.0 GB`."""
        if self.unit == "steps":
            return f"{self.done:,}" + (f" of {self.total:,}" if self.total else "")
        most = max(self.done, self.total or 0)
        scale, name = (1e9, "GB") if most >= 1e9 else (1e6, "MB")
        total = f" of {self.total / scale:.1f}" if self.total else ""
        return f"{self.done / scale:.1f}{total} {name}"

    def time_left(self, now: float) -> float | None:
        """The seconds that the rest takes at the speed until now, if that is known."""
        if self._began is None or not self.total:
            return None
        began, before = self._began
        gained = self.done - before
        return (now - began) * (self.total - self.done) / gained if gained > 0 else None

    def _changed(self) -> None:
        if self._began is None:
            self._began = (self._display.clock(), self.done)
        self._display.changed(self)


class Display:
    """Where tasks are shown: nowhere."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock

    def opened(self, task: Task) -> None:
        """A task has begun."""

    def changed(self, task: Task) -> None:
        """More of it is done."""

    def closed(self, task: Task) -> None:
        """It is over, done or not."""


class Lines(Display):
    """Tasks as one line at most every 30 seconds, which names those that are open."""

    def __init__(
        self, write: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(clock)
        self._write = write
        self._open: list[Task] = []
        self._last = clock()
        self._lock = threading.Lock()

    def opened(self, task: Task) -> None:
        with self._lock:
            self._open.append(task)

    def closed(self, task: Task) -> None:
        with self._lock:
            self._open.remove(task)

    def changed(self, task: Task) -> None:
        now = self.clock()
        with self._lock:
            if now - self._last < SECONDS_BETWEEN_LINES:
                return
            self._last = now
            # The work around the one that has changed may not have counted anything yet.
            shown = [t for t in self._open if t.done or t is task]
            left = next((left for t in shown if (left := t.time_left(now)) is not None), None)
            text = "; ".join(f"{t.what}: {t.amount}{_percent(t)}" for t in shown)
        self._write(text + ("" if left is None else f", about {duration_text(left)} to go"))


class Bars(Display):
    """Tasks as bars on a terminal, which go when they are done."""

    def __init__(self) -> None:
        super().__init__()
        self._bars: Progress | None = None
        self._ids: dict[Task, TaskID] = {}
        self._lock = threading.Lock()

    def opened(self, task: Task) -> None:
        with self._lock:
            if self._bars is None:
                self._bars = _bars()
                self._bars.start()
            # Bytes are written after other work, which may show a bar of its own.
            self._ids[task] = self._bars.add_task(
                task.what, total=task.total, amount="", visible=task.unit == "steps"
            )

    def closed(self, task: Task) -> None:
        with self._lock:
            if self._bars is not None:
                # As it was at the end, however short it was.
                self._bars.refresh()
                self._bars.remove_task(self._ids.pop(task))
                if not self._ids:
                    self._bars.stop()
                    self._bars = None

    def changed(self, task: Task) -> None:
        with self._lock:
            if self._bars is not None and task in self._ids:
                self._bars.update(
                    self._ids[task],
                    description=task.what,
                    completed=task.done,
                    total=task.total,
                    amount=task.amount,
                    visible=True,
                )


_display = Display()


@contextmanager
def show_progress(write: Callable[[str], None] | None) -> Iterator[None]:
    """Show the tasks of this process while the context lasts; with None, hide them.

    They are bars if stderr is a terminal. Otherwise `write` gets a line now and then.
    """
    global _display  # noqa: PLW0603 - a process has one stderr
    before = _display
    try:
        _display = _display_for(write)
        yield
    finally:
        _display = before


@contextmanager
def task(what: str, total: int | None = None, unit: Unit = "steps") -> Iterator[Task]:
    """A task, open while the context lasts."""
    display = _display
    found = Task(what, total, unit, display)
    display.opened(found)
    try:
        yield found
    finally:
        display.closed(found)


def duration_text(seconds: float) -> str:
    """A duration in one unit: `40 s`, `12 min`, `3.5 h`."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = seconds / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def _percent(task: Task) -> str:
    return f" ({100 * task.done / task.total:.0f} %)" if task.total else ""


def _display_for(write: Callable[[str], None] | None) -> Display:
    if write is None:
        return Display()
    moves = sys.stderr.isatty() and os.environ.get("TERM") not in {"dumb", "unknown"}
    return Bars() if moves else Lines(write)


def _bars() -> Progress:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.fields[amount]}", markup=False),
        TimeRemainingColumn(elapsed_when_finished=True),
        # FORCE_COLOR, which many CI systems set, makes no terminal of a log file.
        console=Console(stderr=True, force_terminal=True),
        transient=True,
        # stdout may be a file.
        redirect_stdout=False,
    )
