"""What a model is asked, whatever task it is of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmark import Benchmark
from ggez_hub.evaluation.loaders import Choice, Open, Prompted
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.questions import Questions

if TYPE_CHECKING:
    from ggez_hub.evaluation.recognition.asking import Recognition


class Chat(NamedTuple):
    """A question of multiple choice, as it is said to a model that writes.

    said   where the likelihood of the options is asked: without them
    shown  where it writes its answer: with the options and their letters
    order  the numbers of the options in the order in which they are shown
    """

    said: str
    shown: str
    item: Choice
    order: tuple[int, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """The options as they are shown."""
        return tuple(self.item.options[number] for number in self.order)


class Free(NamedTuple):
    """A question with a free answer, as it is said to a model that writes."""

    said: str
    item: Open


@dataclass(frozen=True, eq=False)
class Asked:
    """What a model is asked: n questions about N pictures; and what cannot be asked.

    pictures  (N) encoded files: the rows of the pictures' embeddings
    missing   ids of the questions whose picture is gone
    choices   (n) where they are of multiple choice: what is said to a model that writes
    free      where answers are free: what is said to a model that writes; there are no `questions`
    reply_tokens  how long a written answer may be
    drawn     the benchmark whose prompts are to be drawn first, and the prompts: then there are no
              pictures, and a judge is asked the questions about those that are drawn
    recognised  the drawings that are asked for, and a judge who names what each resembles
    """

    pictures: tuple[bytes, ...]
    questions: Questions | None
    missing: tuple[str, ...]
    choices: tuple[Chat, ...] = ()
    free: tuple[Free, ...] = ()
    reply_tokens: int = 0
    drawn: tuple[Benchmark, tuple[Prompted, ...]] | None = None
    recognised: Recognition | None = None

    @property
    def nothing(self) -> Outcomes:
        """The outcomes where every picture is gone; raises UsageProblem where none is drawn yet."""
        if self.drawn is not None:
            raise UsageProblem(
                f"the pictures of {self.drawn[0].id} are to be drawn: this model does not draw",
                "Name a pipeline of diffusers as MODEL, and who judges with --judge.",
            )
        if self.recognised is not None:
            raise UsageProblem("drawings are asked of models that draw alone")
        if self.free:
            raise UsageProblem("free answers are asked of models that write alone")
        none = np.zeros(0)
        return Outcomes(
            (), (), (), none.astype(np.int32), none.astype(np.bool_), none, self.missing
        )
