"""Work on threads that nobody waits for after Ctrl-C: a hub may stall, a file may take minutes.

Those of a ThreadPoolExecutor are waited for, at the latest when the process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from functools import partial
from threading import Event, Semaphore, Thread
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


def start(work: Callable[[], R]) -> Future[R]:
    """Begin `work` on a thread of its own; the future has its result, or raises what it raised."""
    future: Future[R] = Future()

    def run() -> None:
        try:
            future.set_result(work())
        except BaseException as problem:
            future.set_exception(problem)

    Thread(target=run, daemon=True).start()
    return future


def map_at_once(work: Callable[[T], R], items: Iterable[T], most: int) -> list[R]:
    """The results of `work` for these items, in their order, of at most `most` at once.

    After an error none is begun; it is raised when those that are under way have ended.
    """
    free, failed = Semaphore(most), Event()

    def run(item: T) -> R:
        try:
            return work(item)
        except BaseException:
            failed.set()
            raise
        finally:
            free.release()

    begun: list[Future[R]] = []
    for item in items:
        free.acquire()
        if failed.is_set():
            break
        begun.append(start(partial(run, item)))
    wait(begun)
    return [future.result() for future in begun]
