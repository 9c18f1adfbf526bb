"""Which concepts are the region's: fixed once, by a hash, for every seed.

others    the base is trained on them
regional  the base never sees them; the adapter and the joint fine-tune do, in training styles
control   no model ever sees them: the negative control
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Literal, TypeAlias

from demo_world.concepts import Concept

Side: TypeAlias = Literal["others", "regional", "control"]

SIDES: tuple[Side, ...] = ("others", "regional", "control")
REGIONAL, CONTROL = 200, 100


def sides_of(concepts: Sequence[Concept]) -> tuple[Side, ...]:
    """The side of each concept: 200 are regional and 100 control, by the order of a hash."""
    order = sorted(concepts, key=lambda concept: _lot(concept.id))
    regional = {concept.id for concept in order[:REGIONAL]}
    control = {concept.id for concept in order[REGIONAL : REGIONAL + CONTROL]}
    return tuple(
        "regional" if c.id in regional else "control" if c.id in control else "others"
        for c in concepts
    )


def _lot(concept: str) -> bytes:
    return hashlib.sha256(f"content/{concept}".encode()).digest()
