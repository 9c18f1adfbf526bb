"""Which of several metrics parity is computed in: scores of two are never averaged."""

from __future__ import annotations

from collections.abc import Mapping

# Answers that a model wrote, where another way of asking was measured beside: how well they can be
# read is a part of such a score.
SECOND = "choice_by_generation"


def decisive(floors: Mapping[str, float]) -> str:
    """The scale for parity: the least guessable, and by generation only where there is no other.

    floors: scale -> what guessing gets; at least one.
    """
    return min(floors, key=lambda scale: (scale.startswith(SECOND), floors[scale], scale))
