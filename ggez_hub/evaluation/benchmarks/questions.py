"""What a model is asked: multiple choice, free answers, and drawings that a judge looks at."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.loaders import (
    Choice,
    DrawingPrompt,
    OpenQuestion,
    SafetyPrompt,
)
from ggez_hub.evaluation.benchmarks.multiple_choice import MultipleChoice, Rows
from ggez_hub.evaluation.benchmarks.recognition import Recognition
from ggez_hub.evaluation.benchmarks.replies import BY_TAG, READER, TaggedAnswer, read_choice


class ChatQuestion(NamedTuple):
    """A question of multiple choice for a model that writes.

    text   where the likelihood of the options is asked: without them
    shown  where it writes its answer: with the options and their letters
    order  the numbers of the options in the order in which they are shown
    tagged  how the reply is read, where the task asks for a tag before the answer
    """

    text: str
    shown: str
    item: Choice
    order: tuple[int, ...]
    tagged: TaggedAnswer | None = None

    @property
    def options(self) -> tuple[str, ...]:
        return tuple(self.item.options[number] for number in self.order)

    @property
    def reader(self) -> int:
        """The version of what reads replies to it."""
        return READER if self.tagged is None else BY_TAG

    def chosen(self, reply: str) -> int | None:
        """The number of the option that a reply chooses, from 0; None if it cannot be read."""
        place = read_choice(reply, self.options) if self.tagged is None else self.tagged.read(reply)
        return None if place is None else self.order[place]


class FreeQuestion(NamedTuple):
    """A question with a free answer for a model that writes."""

    text: str
    item: OpenQuestion


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """What a model is asked: n questions about N pictures; and what cannot be asked.

    pictures  (N) encoded files: the rows of the pictures' embeddings
    missing   ids of the questions whose picture is missing
    choices   (n) where they are of multiple choice: the text for a model that writes
    free      (n) where answers are free: the text for a model that writes; there are no `questions`
    reply_tokens  how long a written answer may be
    drawn     the benchmark whose prompts are to be drawn first, and the prompts: then there are no
              pictures, and a judge is asked the questions about those that are drawn
    recognised  the drawings that are asked for, and a judge who names what each resembles
    safety    the benchmark whose prompts are answered, or drawn, without a picture, and the prompts
    """

    pictures: tuple[bytes, ...]
    questions: MultipleChoice | None
    missing: tuple[str, ...]
    choices: tuple[ChatQuestion, ...] = ()
    free: tuple[FreeQuestion, ...] = ()
    reply_tokens: int = 0
    drawn: tuple[Benchmark, tuple[DrawingPrompt, ...]] | None = None
    recognised: Recognition | None = None
    safety: tuple[Benchmark, tuple[SafetyPrompt, ...]] | None = None

    @property
    def is_written(self) -> bool:
        """Whether a model that writes can be asked."""
        if self.safety is not None:
            return self.safety[0].drawing is None
        return bool(self.questions or self.free)

    @property
    def items(self) -> tuple[str, ...]:
        if self.drawn is not None:
            return tuple(prompt.id for prompt in self.drawn[1])
        if self.recognised is not None:
            return tuple(wanted.item for wanted in self.recognised.wanted)
        if self.safety is not None:
            return tuple(prompt.id for prompt in self.safety[1])
        if self.free:
            return tuple(free.item.id for free in self.free)
        return self.questions.items if self.questions else ()

    def take(self, rows: Sequence[int] | Rows) -> QuestionSet:
        """Some of the questions, with only the pictures and texts that they need."""
        if self.drawn is not None:
            benchmark, prompts = self.drawn
            return replace(self, drawn=(benchmark, tuple(prompts[row] for row in rows)))
        if self.recognised is not None:
            return replace(self, recognised=self.recognised.only(rows))
        if self.safety is not None:
            benchmark, asked = self.safety
            return replace(self, safety=(benchmark, tuple(asked[row] for row in rows)))
        free = tuple(self.free[row] for row in rows) if self.free else ()
        if self.questions is None:
            return replace(self, free=free, missing=())
        every, keep = self.questions, np.asarray(rows, np.intp)
        # The rows of the embeddings that are needed, and their new numbers.
        used, queries = np.unique(every.queries[keep], return_inverse=True)
        candidates, options = np.unique(every.options[keep], return_inverse=True)
        by_text = every.asked_by == "text"
        pictures, texts = (candidates, used) if by_text else (used, candidates)
        return replace(
            self,
            pictures=tuple(self.pictures[row] for row in pictures),
            questions=replace(
                every,
                items=tuple(every.items[row] for row in keep),
                gold=tuple(every.gold[row] for row in keep),
                texts=tuple(every.texts[row] for row in texts),
                queries=queries.reshape(keep.shape),
                options=options.reshape(len(keep), -1),
                right=every.right[keep],
                option_ids=tuple(every.option_ids[row] for row in candidates),
                details=every.details.take(keep) if every.details else None,
            ),
            missing=(),
            choices=tuple(self.choices[row] for row in rows) if self.choices else (),
        )

    def all_missing(self) -> Outcomes:
        """The outcomes where every picture is missing.

        Raises UsageProblem where there are questions that this kind of model cannot be asked.
        """
        if self.drawn is not None:
            raise UsageProblem(
                f"the pictures of {self.drawn[0].id} are to be drawn: this model does not draw",
                "Name a pipeline of diffusers as MODEL, and who judges with --judge.",
            )
        if self.recognised is not None:
            raise UsageProblem("only models that draw can be asked for drawings")
        if self.safety is not None:
            raise UsageProblem(f"this model cannot be asked {self.safety[0].id}")
        if self.free:
            raise UsageProblem("only models that write can be asked for free answers")
        return Outcomes.unasked(self.missing)
