"""The closed part of the test side: pictures whose answers are not published until the rotation changes."""

from __future__ import annotations

import hashlib
from typing import Annotated

from pydantic import Field, StringConstraints

from ggez_hub.cards.curve import SplitParity
from ggez_hub.cards.values import Sha256
from ggez_hub.frozen_model import FrozenModel

# A share of 2 ** 64 pieces: hashes are compared as integers, so that no rounding decides.
PIECES = 1 << 64


class ClosedRule(FrozenModel):
    """Which pictures of the test side are closed: about `share` of them, others in each rotation."""

    share: float = Field(gt=0, lt=1)
    rotation: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,39}$")]

    def is_closed(self, picture: str) -> bool:
        """Whether a picture is closed, given as results identify it: all questions about it are, then."""
        digest = hashlib.sha256(f"{self.rotation}|{picture}".encode()).digest()
        return int.from_bytes(digest[:8], "big") < self.share * PIECES


class ClosedPart(ClosedRule):
    """What is published of the answers to the closed pictures: aggregates, and a digest to hold them to.

    pictures  how many different ones were asked about
    sha256    of the file with their predictions, which is published after the rotation
    parity    the sides at every beta over these pictures alone; None where they are too few for errors
    """

    pictures: int = Field(ge=0)
    sha256: Sha256
    parity: SplitParity | None = None
