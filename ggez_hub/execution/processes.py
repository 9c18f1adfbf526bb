"""Tasks in processes of this machine."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Generator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from threading import Thread

from ggez_hub.execution.tasks import InFlight, Task, WorkerLost

# How often the worker of a task that runs alone may be lost.
LOSSES = 2


class ThisProcess:
    """One task after the other, here."""

    workers = 1

    def run(self, task: Task, numbers: Sequence[int], device: str = "") -> Generator[int]:
        for number in numbers:
            task(number)
            yield number

    def close(self) -> None:
        """Nothing is held."""


class Processes:
    """Processes that stay for all runs, so that each opens a model once."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self._pool: ProcessPoolExecutor | None = None

    def run(self, task: Task, numbers: Sequence[int], device: str = "") -> Generator[int]:
        left: InFlight[Future[object]] = InFlight(numbers, 1 if device else self.workers)
        while True:
            try:
                left.start(lambda number: self._started().submit(task, number))
                if not left.running:
                    break
                for future in wait(left.running, return_when=FIRST_COMPLETED).done:
                    number = left.running[future]
                    if error := future.exception():
                        if isinstance(error, BrokenProcessPool):
                            raise error
                        left.failed[number] = error
                    else:
                        yield number
                    del left.running[future]
            except BrokenProcessPool:
                # Any of those that ran may have ended its process, and with it the pool.
                ran = left.running.copy()
                left.running.clear()
                self.close()
                yield from (number for future, number in ran.items() if _is_done(future))
                alone = [number for future, number in ran.items() if not _is_done(future)]
                yield from self._alone(task, sorted(alone))
        left.raise_first()

    def _alone(self, task: Task, numbers: Sequence[int]) -> Generator[int]:
        """Run tasks one by one, so that it shows whose worker is lost."""
        for number in numbers:
            for _ in range(LOSSES):
                try:
                    self._started().submit(task, number).result()
                    break
                except BrokenProcessPool:
                    self.close()
            else:
                raise WorkerLost(number)
            yield number

    def _started(self) -> ProcessPoolExecutor:
        if self._pool is None:
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self.workers, context, end_with_parent)
        return self._pool

    def close(self) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)
            self._pool = None


def _is_done(future: Future[object]) -> bool:
    return future.done() and future.exception() is None


def end_with_parent() -> None:
    """Let this process end when its parent does, even if that is killed."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    Thread(target=watch, daemon=True).start()
