"""Ctrl-C and SIGTERM in the middle of a run: the step is finished and its state kept."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from ggez_hub.errors import GgezError

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupted(GgezError):
    """A run was stopped from outside; what is done is kept."""


@contextmanager
def catch_stop_signals(*, announce: bool) -> Iterator[Callable[[], bool]]:
    """Yields a function that returns whether a stop was requested.

    A second signal raises KeyboardInterrupt. With `announce` a terminal is told what it waits for.
    Signals reach the main thread alone: in another one nothing is requested. A signal that is
    ignored, as under nohup, stays ignored.
    """
    requested = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal requested
        if requested:
            raise KeyboardInterrupt
        requested = True
        if announce and sys.stderr.isatty():
            print("stopping after this step; once more stops at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = [(number, signal.signal(number, note)) for number in heard]
    try:
        yield lambda: requested
    finally:
        for number, handler in before:
            signal.signal(number, handler)
