"""What a drawn prompt is worth, from a judge's answers about its pictures.

DPG-Bench's rule (Hu et al., 2024, ELLA; after Cho et al., 2023, DSG): a question counts only if those
that it depends on were answered rightly. A picture is worth the share of its questions that count and
were answered rightly, a prompt the mean of its pictures, a benchmark the mean of its prompts.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.loaders.base import Part


class NotJudged(GgezError):
    """A record holds no answers of a judge."""


@dataclass(frozen=True)
class Judged:
    """The pictures of one prompt, and what a judge said about them.

    pictures  the sha256 of each
    answers   of each picture: the number of a question -> the option that was chosen; "" unread
    right     the number of a question -> the right option
    parents   the number of a question -> those that it depends on
    """

    pictures: tuple[str, ...]
    answers: tuple[Mapping[int, str], ...]
    right: Mapping[int, str]
    parents: Mapping[int, tuple[int, ...]]

    @classmethod
    def of(
        cls, parts: Sequence[Part], pictures: Sequence[str], answers: Sequence[Mapping[int, str]]
    ) -> Judged:
        """The answers about the pictures of a prompt with these questions."""
        return cls(
            tuple(pictures),
            tuple(answers),
            {part.number: part.options[part.gold] for part in parts},
            {part.number: part.parents for part in parts},
        )

    @property
    def credit(self) -> float:
        """What the prompt is worth, 0 to 1."""
        worth = [self._counted(given) / len(self.right) for given in self.answers]
        return sum(worth) / len(worth)

    @property
    def unread(self) -> bool:
        """Whether not one answer could be read."""
        return not any(answer for given in self.answers for answer in given.values())

    def as_text(self) -> str:
        """All of it as JSON, which stands as `raw` in the predictions."""
        return json.dumps(
            {
                "pictures": self.pictures,
                "answers": self.answers,
                "right": self.right,
                "parents": {number: own for number, own in self.parents.items() if own},
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_text(cls, text: str | None) -> Judged:
        """What `as_text` wrote; raises NotJudged."""
        try:
            found: dict[str, Any] = json.loads(text or "")
            right = {int(number): str(answer) for number, answer in found["right"].items()}
            parents = {int(n): tuple(map(int, own)) for n, own in found["parents"].items()}
            answers = tuple(
                {int(number): str(answer) for number, answer in given.items()}
                for given in found["answers"]
            )
            pictures = tuple(map(str, found["pictures"]))
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise NotJudged("there are no answers of a judge") from error
        numbers = {*right}
        if not (
            numbers
            and answers
            and len(pictures) == len(answers)
            and all({*given} == numbers for given in answers)
            and all({n, *own} <= numbers for n, own in parents.items())
        ):
            raise NotJudged("the answers of a judge are not of its questions")
        return cls(pictures, answers, right, {n: parents.get(n, ()) for n in right})

    def _counted(self, given: Mapping[int, str]) -> int:
        """How many questions count and were answered rightly."""
        counts = {number: given[number] == answer for number, answer in self.right.items()}
        while lost := [
            number
            for number, counted in counts.items()
            if counted and not all(counts[parent] for parent in self.parents[number])
        ]:
            counts |= dict.fromkeys(lost, False)
        return sum(counts.values())
