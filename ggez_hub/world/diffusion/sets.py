"""Which concepts are drawn: global ones by English names, regional ones by Thai names.

The base learns the global concepts; the regional ones it has never seen, neither their pictures nor
their names. This is a *regional subset*, not culture: both sets are emoji drawn by lot.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from ggez_hub.world.concepts import Concept, concepts

Side: TypeAlias = Literal["global", "regional"]
Split: TypeAlias = Literal["validation", "test"]

SIDES: tuple[Side, ...] = ("global", "regional")

SIZES: Mapping[Split, int] = {"validation": 32, "test": 64}
"""Concepts of each side; a concept is of one side and one split."""

LANGUAGE: Mapping[Side, str] = {"global": "en", "regional": "th"}

# Things that can be told apart at 32 pixels: no faces, no gestures, no signs.
GROUPS = frozenset({"Activities", "Animals & Nature", "Food & Drink", "Objects", "Travel & Places"})
# Twenty-four clock faces differ by their hands alone.
_CLOCKS = range(0x1F550, 0x1F568)


@dataclass(frozen=True)
class Subject:
    """A concept with its place: which side asks for it, and in which split."""

    concept: Concept
    side: Side
    split: Split

    @property
    def prompt(self) -> str:
        """Its name in the language of its side."""
        name = self.concept.names[LANGUAGE[self.side]]
        assert name is not None  # noqa: S101  # `candidates` takes none without
        return name


def choose(recognised: Collection[str]) -> tuple[Subject, ...]:
    """192 of the recognised concepts by lot: the order of a hash of their ids, on every machine."""
    drawn = sorted(
        (concept for concept in candidates() if concept.id in recognised),
        key=lambda concept: hashlib.sha256(f"diffusion/{concept.id}".encode()).digest(),
    )
    places = [(side, split) for side in SIDES for split, size in SIZES.items() for _ in range(size)]
    return tuple(
        Subject(concept, side, split)
        for concept, (side, split) in zip(drawn[: len(places)], places, strict=True)
    )


def candidates() -> tuple[Concept, ...]:
    """The concepts of the groups above that have a Thai name."""
    return tuple(concept for concept in concepts() if _fits(concept))


def _fits(concept: Concept) -> bool:
    return (
        concept.group in GROUPS
        and concept.names["th"] is not None
        and not ("-" not in concept.id and int(concept.id, 16) in _CLOCKS)
    )
