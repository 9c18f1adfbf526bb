"""What a model under test is."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, MutableMapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol, TypeVar

from ggez_hub.evaluation.benchmark_questions import Asked
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.families import Family

K = TypeVar("K", bound=Hashable)
# Questions that are answered before their answers are kept.
CHUNK = 64


class Subject(Protocol):
    """A model under test."""

    def answer(self, asked: Asked, method: str) -> Outcomes:
        """What it answers to the questions about the pictures that are there.

        `method` is one of its way's.
        """


class Way(NamedTuple):
    """How a family's models are asked.

    methods   how they choose among options, which the metric names; the first is the primary one
    searches  whether they have embeddings, by which pictures and texts are found
    """

    methods: tuple[str, ...]
    searches: bool
    open: Callable[[Path, Family], Subject]


def once(
    keys: Sequence[K],
    known: MutableMapping[K, Any],
    compute: Callable[[Sequence[K]], Iterable[Any]],
) -> Mapping[K, Any]:
    """The value of every key: those that are not known are computed, each once, and kept."""
    new = [key for key in dict.fromkeys(keys) if key not in known]
    for start in range(0, len(new), CHUNK):
        chunk = new[start : start + CHUNK]
        known.update(zip(chunk, compute(chunk), strict=True))
    return known
