"""A file that takes a little of the disk, and gives it up when the disk is full: to delete takes some space, too."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from ggez_hub.embedded.errors import is_full

SIZE: Final = 1 << 20

T = TypeVar("T")


class Reserve:
    """The reserve of the store in `root`."""

    def __init__(self, root: Path) -> None:
        self._path = root / "reserve"

    def fill(self) -> None:
        """Take the space, unless there is none."""
        try:
            if not self._path.exists() or self._path.stat().st_size < SIZE:
                # Written, so that file systems that store holes as nothing take it as well.
                self._path.write_bytes(os.urandom(SIZE))
        except OSError:
            self._path.unlink(missing_ok=True)

    def spend_on(self, work: Callable[[], T]) -> T:
        """What `work` returns; where the disk is too full for it, once more without the reserve."""
        try:
            return work()
        except (OSError, sqlite3.Error) as error:
            if not is_full(error) or not self._path.exists():
                raise
            self._path.unlink(missing_ok=True)
        return work()
