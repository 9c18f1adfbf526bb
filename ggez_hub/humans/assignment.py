"""Who judges what, in which order: it follows from the study and its seed alone.

A *set* is what is shown at once: some outputs of one item. A rater is a number within a side and a
language; the sets of the rater, their order and the places of the outputs follow from these.
"""

from __future__ import annotations

from dataclasses import dataclass

from ggez_hub.humans.study import Side, Study


@dataclass(frozen=True)
class Shown:
    """One screen of a rater: the models whose outputs of an item stand from left to right.

    `occurrence` is 1 where the rater has judged the same set before (for consistency), else 0.
    """

    item: str
    models: tuple[str, ...]
    occurrence: int
    gold: bool

    @property
    def key(self) -> str:
        """What names the judgement among those of its rater."""
        return f"{self.item}|{'+'.join(sorted(self.models))}|{self.occurrence}"


def queue(study: Study, side: Side, language: str, number: int) -> tuple[Shown, ...]:
    """What rater `number` (from 0) of a side and language is shown, in order."""
    raise NotImplementedError


def raters_needed(study: Study, side: Side, language: str) -> int:
    """How many raters give every set its `raters_per_item` judgements."""
    raise NotImplementedError
