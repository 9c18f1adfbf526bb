"""The order in which options are shown to a model that writes.

They are rotated by a hash of seed, task and item: wherever the data put the right answer, every
position is right equally often but for chance, and a model that prefers a letter gains nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from ggez_hub.evaluation.replies import READER
from ggez_hub.weights import digest_json

# How models choose that are shown the options, and not asked for the likelihood of each.
GENERATION, LETTER = "generation", "letter"
SHOWN = frozenset({GENERATION, LETTER})


def rotation(seed: int, task: str, item: str, count: int) -> tuple[int, ...]:
    """The numbers of `count` options in the order in which they are shown."""
    digest = hashlib.sha256(f"{seed}|{task}|{item}".encode()).digest()
    first = int.from_bytes(digest, "big") % count
    return (*range(first, count), *range(first))


def shown_digest(digest: str, seed: int, method: str) -> str:
    """The digest of a task as a method asks it: with the order of options, and how replies are read."""
    if method not in SHOWN:
        return digest
    decides: dict[str, object] = {"task": digest, "rotated": seed}
    if method == GENERATION:
        decides["reader"] = READER
    return digest_json(decides)


def in_data_order(values: Sequence[float], order: Sequence[int]) -> list[float]:
    """Values of options as shown, in the order of the data."""
    found = [0.0] * len(order)
    for value, number in zip(values, order, strict=True):
        found[number] = value
    return found
