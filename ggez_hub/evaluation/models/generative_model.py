"""Models that write, under test: multiple choice by likelihood, and by what they say.

likelihood   the options are not shown; the score of one is how likely it is as the reply
pmi          the same, less how likely it is without picture and question (pointwise mutual information)
generation   the options are shown with letters, and the option that the reply names is the answer
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Outcomes
from ggez_hub.evaluation.benchmarks.questions import GENERATION, QuestionSet
from ggez_hub.evaluation.benchmarks.replies import READER, after_thought, plain, read_choice
from ggez_hub.evaluation.benchmarks.task_questions import details_of

if TYPE_CHECKING:
    import torch


def matches(reply: str, references: Sequence[str]) -> bool:
    """Whether a reply is one of the references."""
    said = plain(after_thought(reply) or "")
    return bool(said) and said in {plain(reference) for reference in references}


def answered_freely(asked: QuestionSet, replies: Sequence[str], prompts: Sequence[str]) -> Outcomes:
    """The outcomes of free questions; `prompts` are the sha256 of each as the model got it."""
    right = np.array(
        [matches(r, f.item.references) for r, f in zip(replies, asked.free, strict=True)], np.bool_
    )
    gold = tuple(free.item.references[0] for free in asked.free)
    return Outcomes(
        items=tuple(free.item.id for free in asked.free),
        gold=gold,
        predicted=tuple(
            answer if is_right else plain(after_thought(reply) or "") or UNPARSED
            for answer, reply, is_right in zip(gold, replies, right.tolist(), strict=True)
        ),
        rank=np.where(right, 1, 2).astype(np.int32),
        correct=right,
        # There are no options to guess among.
        chance=np.zeros(len(right)),
        missing=asked.missing,
        details=details_of([free.item for free in asked.free], prompts, raw=list(replies)),
    )


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

    def unconditional(self, options: Sequence[str]) -> Sequence[tuple[float, int]]:
        """Of each option as the reply to an empty message without a picture: that mean, and how many tokens it has."""

    def replies(self, posed: Sequence[Posed]) -> Sequence[str]:
        """What it says to each question, by greedy decoding."""


class Generating:
    """A model that writes; it is asked a question once, in whatever tasks that stands."""

    def __init__(
        self, writer: Writer, known: AnswerCache, state: Mapping[str, torch.Tensor] | None = None
    ) -> None:
        """`state` are the writer's tensors, if they are in memory here."""
        self.state: Mapping[str, torch.Tensor] = state or {}
        self._writer = writer
        self._known = known
        self._methods: Mapping[str, Callable[[QuestionSet], Outcomes]] = {
            "likelihood": self._by_likelihood,
            "pmi": self._by_pmi,
            GENERATION: self._by_generation,
        }

    def moved(self, names: Collection[str], known: AnswerCache) -> None:
        if names:
            self._known = known

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        if asked.free:
            return self._freely(asked)
        if asked.questions is None:
            return asked.nothing
        return replace(self._methods[method](asked), missing=asked.missing)

    def _by_likelihood(self, asked: QuestionSet) -> Outcomes:
        assert asked.questions is not None  # noqa: S101 - answer() has looked
        posed, scores = self._likelihoods(asked)
        return _recorded(asked.questions.scored(scores), posed)

    def _by_pmi(self, asked: QuestionSet) -> Outcomes:
        assert asked.questions is not None  # noqa: S101 - answer() has looked
        posed, scores = self._likelihoods(asked)
        options = {option for p in posed for option in p.options}
        keys = {option: digest_json({"unconditional": option}) for option in sorted(options)}
        known = answer_once(
            {key: o for o, key in keys.items()}, self._known, self._writer.unconditional
        )
        bare = np.array([[known[keys[option]] for option in p.options] for p in posed])
        # The tokens are the same in both: log p(option | picture, question) - log p(option).
        return _recorded(asked.questions.scored((scores - bare[..., 0]) * bare[..., 1]), posed)

    def _likelihoods(self, asked: QuestionSet) -> tuple[list[Posed], NDArray[np.float64]]:
        """What is asked, and the mean log-likelihood of each option's tokens (n, k)."""
        posed = [
            Posed(c.item.picture or b"", self._writer.prompt(c.said), c.item.options)
            for c in asked.choices
        ]
        scores = self._answers(posed, self._writer.log_likelihoods)
        return posed, np.array(scores, dtype=np.float64)

    def _by_generation(self, asked: QuestionSet) -> Outcomes:
        assert asked.questions is not None  # noqa: S101 - answer() has looked
        posed = [
            Posed(
                c.item.picture or b"", self._writer.prompt(c.shown), new_tokens=asked.reply_tokens
            )
            for c in asked.choices
        ]
        replies = self._answers(posed, self._writer.replies)
        return _recorded(chosen_by(asked, replies), posed)

    def _freely(self, asked: QuestionSet) -> Outcomes:
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
        known = answer_once(dict(zip(keys, posed, strict=True)), self._known, ask)
        return [known[key] for key in keys]


def chosen_by(asked: QuestionSet, replies: Sequence[str]) -> Outcomes:
    """The outcomes of what is read from replies to questions whose options were shown."""
    assert asked.questions is not None  # noqa: S101 - who asks has looked
    picks = []
    for reply, chat in zip(replies, asked.choices, strict=True):
        place = read_choice(reply, chat.options)
        picks.append(None if place is None else chat.order[place])
    outcomes = asked.questions.chosen(picks)
    assert outcomes.details is not None  # noqa: S101 - benchmarks record them
    details = replace(
        outcomes.details,
        raw=tuple(replies),
        options=tuple(chat.options for chat in asked.choices),
        readers=(READER,) * len(picks),
    )
    return replace(outcomes, details=details)


def _recorded(outcomes: Outcomes, posed: Sequence[Posed]) -> Outcomes:
    """The outcomes with the prompt as the model got it."""
    assert outcomes.details is not None  # noqa: S101 - benchmarks record them
    prompts = tuple(digest_json(p.prompt) for p in posed)
    return replace(outcomes, details=replace(outcomes.details, prompts=prompts))
