"""Long work that may be killed and run again: one process at a time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ggez_hub.errors import GgezError


class Running(GgezError):
    """Another process works on the same output."""


@contextmanager
def held(folder: Path, out: Path) -> Iterator[None]:
    """Hold `folder`, the work for the output `out`, until this process ends, however it ends.

    The folder is made if it is not there. Raises Running.
    """
    from filelock import FileLock, Timeout

    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            yield
    except Timeout:
        raise Running(f"another process works on {out}", "Wait for it, or stop it.") from None
