"""A download that ends where its record does: a body without end must not fill a disk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ggez_hub.errors import GgezError

if TYPE_CHECKING:
    from huggingface_hub.utils import tqdm

# Xet counts what it transfers, which may be a little more than the file.
SLACK = 1 << 20


class TooLong(GgezError):
    """A file is longer than it may be; nothing of it was kept."""


def at_most(nbytes: int) -> type[tqdm]:
    """The client's progress bar, which is told of every piece before it is written.

    It raises TooLong as soon as there are more than `nbytes` bytes.
    """
    from huggingface_hub.utils import tqdm

    class Bounded(tqdm):
        received = 0

        def update(self, n: float | None = 1) -> bool | None:
            self.received += int(n or 0)
            if self.received > nbytes + SLACK:
                raise TooLong(
                    f"the hub sends more than the {nbytes:,} bytes that were recorded of a file",
                    "Nothing of it was kept. Run it again; if it stays, do not use this hub.",
                )
            return super().update(n)

    return Bounded
