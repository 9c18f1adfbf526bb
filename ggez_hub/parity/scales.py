"""Which of several metrics parity is computed in: scores of two are never averaged."""

from __future__ import annotations

from collections.abc import Mapping

# In this order, the last resort last. Where another way of asking was measured beside, it is that one which counts: how well a reply can be
# read is a part of a score by generation, and PMI takes away what the model prefers by itself.
SECOND = ("choice_by_generation", "choice_by_pmi")


def decisive(floors: Mapping[str, float]) -> str:
    """The scale for parity: the least guessable; by PMI or by generation only where there is no other.

    floors: scale -> what guessing gets; at least one.
    """
    return min(floors, key=lambda scale: (_resort(scale), floors[scale], scale))


def _resort(scale: str) -> int:
    return next((n for n, second in enumerate(SECOND, 1) if scale.startswith(second)), 0)
