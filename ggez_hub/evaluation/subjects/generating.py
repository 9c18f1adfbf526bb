"""Models that write, under test: multiple choice by likelihood, and by what they say.

likelihood   the options are not shown; the score of one is how likely it is as the reply
generation   the options are shown with letters, and the option that the reply names is the answer
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from ggez_hub.evaluation.answered import Answered, once
from ggez_hub.evaluation.asked import Asked
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.replies import read_choice
from ggez_hub.evaluation.subjects.free import answered_freely
from ggez_hub.weights import digest_json

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Posed:
    """One question as a model gets it; `options` are those whose likelihood is asked.

    new_tokens  how long a reply may be; 0 where none is asked for
    """

    picture: bytes
    prompt: str
    options: tuple[str, ...] = ()
    new_tokens: int = 0

    @property
    def digest(self) -> str:
        """The sha256 of all of it."""
        image = hashlib.sha256(self.picture).hexdigest()
        return digest_json([image, self.prompt, list(self.options), self.new_tokens])


class Writer(Protocol):
    """A model that sees a picture, reads a question and writes."""

    def prompt(self, question: str) -> str:
        """The question as the model gets it, up to where its reply begins."""

    def log_likelihoods(self, posed: Sequence[Posed]) -> Sequence[Sequence[float]]:
        """The mean log-likelihood (natural, <= 0) of the tokens of each option of each question."""

    def replies(self, posed: Sequence[Posed]) -> Sequence[str]:
        """What it says to each question, by greedy decoding."""


class Generating:
    """A model that writes; it is asked a question once, in whatever tasks that stands."""

    def __init__(
        self, writer: Writer, known: Answered, state: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        """`state` are the writer's tensors, if they are in memory here."""
        self.state: Mapping[str, torch.Tensor] = state or {}
        self._writer = writer
        self._known = known
        self._methods: Mapping[str, Callable[[Asked], Outcomes]] = {
            "likelihood": self._by_likelihood,
            "generation": self._by_generation,
        }

    def moved(self, names: Collection[str], known: Answered) -> None:
        if names:
            self._known = known

    def answer(self, asked: Asked, method: str) -> Outcomes:
        if asked.free:
            return self._freely(asked)
        if asked.questions is None:
            return asked.nothing
        return replace(self._methods[method](asked), missing=asked.missing)

    def _by_likelihood(self, asked: Asked) -> Outcomes:
        assert asked.questions is not None  # noqa: S101 - answer() has looked
        posed = [
            Posed(c.item.picture or b"", self._writer.prompt(c.said), c.item.options)
            for c in asked.choices
        ]
        scores = self._answers(posed, self._writer.log_likelihoods)
        outcomes = asked.questions.scored(np.array(scores, dtype=np.float64))
        return _recorded(outcomes, posed)

    def _by_generation(self, asked: Asked) -> Outcomes:
        assert asked.questions is not None  # noqa: S101 - answer() has looked
        posed = [
            Posed(
                c.item.picture or b"", self._writer.prompt(c.shown), new_tokens=asked.reply_tokens
            )
            for c in asked.choices
        ]
        replies = self._answers(posed, self._writer.replies)
        picks = [
            read_choice(reply, c.item.options)
            for reply, c in zip(replies, asked.choices, strict=True)
        ]
        return _recorded(asked.questions.chosen(picks), posed, raw=tuple(replies))

    def _freely(self, asked: Asked) -> Outcomes:
        posed = [
            Posed(f.item.picture or b"", self._writer.prompt(f.said), new_tokens=asked.reply_tokens)
            for f in asked.free
        ]
        replies = self._answers(posed, self._writer.replies)
        return answered_freely(asked, replies, [digest_json(p.prompt) for p in posed])

    def _answers(
        self, posed: Sequence[Posed], ask: Callable[[list[Posed]], Iterable[Any]]
    ) -> list[Any]:
        keys = [p.digest for p in posed]
        known = once(dict(zip(keys, posed, strict=True)), self._known, ask)
        return [known[key] for key in keys]


def _recorded(outcomes: Outcomes, posed: Sequence[Posed], **more: Any) -> Outcomes:
    """The outcomes with the prompt as the model got it."""
    assert outcomes.details is not None  # noqa: S101 - benchmarks record them
    prompts = tuple(digest_json(p.prompt) for p in posed)
    return replace(outcomes, details=replace(outcomes.details, prompts=prompts, **more))
