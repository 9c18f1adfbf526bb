"""What a drawn prompt is worth, from a judge's answers about its pictures.

DPG-Bench's rule (Hu et al., 2024, ELLA; after Cho et al., 2023, DSG): a question counts only if those
that it depends on were answered rightly. A picture is worth the share of its questions that count and
were answered rightly, a prompt the mean of its pictures, a benchmark the mean of its prompts. A category
is worth the mean of its questions, by the same rule and over all pictures.

The authors' script, `dpg_bench/compute_dpg_bench.py` of TencentQQGYLab/ELLA, differs from the rule:

- It skips the first row of the questions, so the first prompt lacks one. A prompt of which a question
  depends on one that was not read is left out.
- It goes through the questions in the order of the file, and a question is worth nothing if one that
  it depends on is worth nothing *by then*: a parent that comes later counts as it was answered.
- A category is the mean over the questions of the *last* picture of each prompt, as they were
  answered: the rule is not applied to them.

The script's figure is never averaged with the rule's, and parity is not computed in it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from pydantic import TypeAdapter, ValidationError

from ggez_hub.errors import GgezError
from ggez_hub.evaluation.answers.outcomes import Details, Outcomes
from ggez_hub.evaluation.answers.scores import Score, score_of
from ggez_hub.evaluation.benchmarks.loaders import DrawingPrompt

RIGHT = "1"


class NotJudged(GgezError):
    """A record holds no answers of a judge."""


@dataclass(frozen=True)
class Judged:
    """The pictures of one prompt, and a judge's answers about them.

    pictures  the sha256 of each
    answers   of each picture: the number of a question -> the option that was chosen; "" unread
    right     the number of a question -> the right option
    parents   the number of a question -> those that it depends on
    categories   the number of a question -> what it is about, where that is known
    script    the questions that the data set's own script reads, in its order; empty if there is none
    """

    pictures: tuple[str, ...]
    answers: tuple[Mapping[int, str], ...]
    right: Mapping[int, str]
    parents: Mapping[int, tuple[int, ...]]
    categories: Mapping[int, str] = field(default_factory=dict)
    script: tuple[int, ...] = ()

    @classmethod
    def of(
        cls,
        prompt: DrawingPrompt,
        pictures: Sequence[str],
        answers: Sequence[Mapping[int, str]],
    ) -> Judged:
        parts = prompt.parts
        return cls(
            tuple(pictures),
            tuple(answers),
            {part.number: part.options[part.gold] for part in parts},
            {part.number: part.parents for part in parts},
            {part.number: part.category for part in parts if part.category},
            prompt.script,
        )

    @property
    def credit(self) -> float:
        """What the prompt is worth, 0 to 1."""
        worth = [sum(self._counted(given).values()) / len(self.right) for given in self.answers]
        return sum(worth) / len(worth)

    @property
    def shares(self) -> dict[int, float]:
        """The number of a question -> in how many of the pictures it counts as right, 0 to 1."""
        counted = [self._counted(given) for given in self.answers]
        return {n: sum(c[n] for c in counted) / len(counted) for n in self.right}

    @property
    def unread(self) -> bool:
        return not any(answer for given in self.answers for answer in given.values())

    def as_text(self) -> str:
        """The record as JSON, the column `raw` of the predictions."""
        return json.dumps(
            {
                "pictures": self.pictures,
                "answers": self.answers,
                "right": self.right,
                "parents": {number: own for number, own in self.parents.items() if own},
                **({"categories": self.categories} if self.categories else {}),
                **({"script": self.script} if self.script else {}),
            },
            ensure_ascii=False,
        )

    @classmethod
    def from_text(cls, text: str | None) -> Judged:
        """The record that `as_text` wrote; raises NotJudged."""
        try:
            found = RECORD.validate_json(text or "")
        except ValidationError as error:
            raise NotJudged("there are no answers of a judge") from error
        numbers = {*found.right}
        if not (
            numbers
            and found.answers
            and len(found.pictures) == len(found.answers)
            and all({*given} == numbers for given in found.answers)
            and all({n, *own} <= numbers for n, own in found.parents.items())
            and {*found.categories, *found.script} <= numbers
            and len({*found.script}) == len(found.script)
        ):
            raise NotJudged("the answers of a judge do not match its questions")
        return replace(found, parents={n: found.parents.get(n, ()) for n in found.right})

    def _counted(self, given: Mapping[int, str]) -> dict[int, bool]:
        """Whether each question counts and was answered rightly."""
        counts = {number: given[number] == answer for number, answer in self.right.items()}
        while lost := [
            number
            for number, counted in counts.items()
            if counted and not all(counts[parent] for parent in self.parents[number])
        ]:
            counts |= dict.fromkeys(lost, False)
        return counts


RECORD = TypeAdapter(Judged)


def judged_prompts(outcomes: Outcomes) -> list[Judged]:
    """A judge's answers about each item; none where the items are not drawn prompts."""
    if outcomes.details is None or outcomes.credit is None:
        return []
    try:
        return [Judged.from_text(raw) for raw in outcomes.details.raw]
    except NotJudged:
        return []


def question_by_question(outcomes: Outcomes) -> Outcomes | None:
    """Drawn prompts as the questions about them, with their categories; None where none are known.

    A question is worth the share of the pictures in which it counts as right. Those of one prompt
    are one cluster: it is one draw of what could have been asked.
    """
    judged = judged_prompts(outcomes)
    if not any(found.categories for found in judged):
        return None
    rows = [
        (item, number, share, found.categories.get(number))
        for item, found in zip(outcomes.items, judged, strict=True)
        for number, share in found.shares.items()
    ]
    return credit_outcomes(
        [f"{item}/{number}" for item, number, _, _ in rows],
        [share for _, _, share, _ in rows],
        Details.of(len(rows), images=[row[0] for row in rows], categories=[row[3] for row in rows]),
    )


def credit_outcomes(
    ids: Sequence[str],
    credit: Sequence[float],
    details: Details,
    *,
    chance: Sequence[float] | float = 0.0,
    missing: tuple[str, ...] = (),
) -> Outcomes:
    """The outcomes of questions that are worth these shares, 0 to 1."""
    worth = np.array(credit)
    return Outcomes(
        items=tuple(ids),
        gold=(RIGHT,) * len(ids),
        predicted=tuple(f"{value:.17g}" for value in credit),
        rank=np.where(worth == 1, 1, 2).astype(np.int32),
        correct=worth == 1,
        chance=np.broadcast_to(np.asarray(chance, np.float64), worth.shape),
        missing=missing,
        details=details,
        credit=worth,
    )


@dataclass(frozen=True)
class ScriptFigures:
    """The score over prompts, of which `missing` were left out, and that of each category."""

    score: Score
    categories: Mapping[str, Score]


def script_figures(outcomes: Outcomes) -> ScriptFigures | None:
    """The figures of the script; None where it was not recorded which questions it reads."""
    judged = judged_prompts(outcomes)
    if not any(found.script for found in judged):
        return None
    worth: dict[str, float] = {}
    questions: list[tuple[str, str | None, float]] = []
    left_out = list(outcomes.missing)
    for item, found in zip(outcomes.items, judged, strict=True):
        value = script_worth(found)
        if value is None:
            left_out.append(item)
            continue
        worth[item] = value
        last = found.answers[-1]
        questions += [
            (item, found.categories.get(n), float(last[n] == found.right[n])) for n in found.script
        ]
    if not worth:
        return None
    overall = credit_outcomes(
        list(worth),
        list(worth.values()),
        Details.of(len(worth), images=list(worth)),
        missing=tuple(left_out),
    )
    names = sorted({name for _, name, _ in questions if name is not None})
    return ScriptFigures(
        score_of(overall), {name: score_of(_of_category(questions, name)) for name in names}
    )


def script_worth(judged: Judged) -> float | None:
    """What a prompt is worth to the script, 0 to 1; None where the script fails at it."""
    pictures = []
    for given in judged.answers:
        worth = {n: given[n] == judged.right[n] for n in judged.script}
        for number in judged.script:
            for parent in judged.parents[number]:
                if parent not in worth:
                    return None
                if not worth[parent]:
                    worth[number] = False
                    break
        if not worth:
            return None
        pictures.append(sum(worth.values()) / len(worth))
    return sum(pictures) / len(pictures)


def _of_category(questions: Sequence[tuple[str, str | None, float]], name: str) -> Outcomes:
    own = [(item, value) for item, category, value in questions if category == name]
    return credit_outcomes(
        [f"{item}/{number}" for number, (item, _) in enumerate(own)],
        [value for _, value in own],
        Details.of(len(own), images=[item for item, _ in own]),
    )
