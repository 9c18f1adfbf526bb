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
def stop_asked(*, say: bool) -> Iterator[Callable[[], bool]]:
    """Whether somebody wants it to stop; who asks twice gets KeyboardInterrupt at once.

    With `say` a terminal is told what it waits for. Signals reach the main thread alone: in
    another one nobody can ask. A signal that is ignored, as nohup's and Ctrl-C of what runs in the
    background, stays ignored.
    """
    asked = False

    def note(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        if asked:
            raise KeyboardInterrupt
        asked = True
        if say and sys.stderr.isatty():
            print("stopping after this step; once more stops at once", file=sys.stderr)

    if threading.current_thread() is not threading.main_thread():
        yield lambda: False
        return
    heard = [number for number in SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = [(number, signal.signal(number, note)) for number in heard]
    try:
        yield lambda: asked
    finally:
        for number, handler in before:
            signal.signal(number, handler)
