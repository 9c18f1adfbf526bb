"""Models that write, under test: multiple choice by likelihood or by their reply, and free answers.

likelihood   the options are not shown; the score of one is how likely it is as the reply
pmi          the same, less how likely it is without picture and question (pointwise mutual information)
generation   the options are shown with letters, and the option that the reply names is the answer

A reply to a free question is right if it is one of the references. Case, spaces and punctuation around
the answer do not count; a reply that says more than the answer is wrong, so that only models of one
verbosity can be compared.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.cache import AnswerCache, Work
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Outcomes
from ggez_hub.evaluation.benchmarks.loaders import Item
from ggez_hub.evaluation.benchmarks.multiple_choice import (
    GENERATION,
    PMI,
    MultipleChoice,
    details_of,
)
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.benchmarks.replies import after_thought, plain
from ggez_hub.evaluation.benchmarks.safety import reply_outcomes

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Posed:
    """One question as a model gets it; `options` are those whose likelihood is asked.

    picture     the encoded file; empty where the question has none
    new_tokens  how long a reply may be; 0 where none is asked for
    """

    picture: bytes
    prompt: str
    options: tuple[str, ...] = ()
    new_tokens: int = 0

    @property
    def digest(self) -> str:
        image = hashlib.sha256(self.picture).hexdigest()
        return digest_json([image, self.prompt, list(self.options), self.new_tokens])


class Writer(Protocol):
    """A model that sees a picture, reads a question and writes."""

    def prompt(self, question: str, sees: bool = True) -> str:
        """The question as the model gets it, with a picture if it `sees` one, to where its reply begins."""

    def log_likelihoods(self, posed: Sequence[Posed]) -> Sequence[Sequence[float]]:
        """The mean log-likelihood (natural, <= 0) of the tokens of each option of each question."""

    def unconditional(self, options: Sequence[str]) -> Sequence[tuple[float, int]]:
        """The same mean of each option as the reply to an empty message, and its number of tokens."""

    def replies(self, posed: Sequence[Posed]) -> Sequence[str]:
        """Its reply to each question, by greedy decoding."""


@dataclass
class GenerativeModel:
    """A model that writes; each question is put to it once, whatever tasks it is part of.

    `state` are the writer's tensors, if they are in memory here.
    """

    writer: Writer
    known: AnswerCache
    state: Mapping[str, torch.Tensor] = field(default_factory=dict)

    def weights_changed(self, names: Collection[str], known: AnswerCache) -> None:
        if names:
            self.known = known

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        if not asked.is_written:
            return asked.all_missing()
        posed = self._posed(asked, method)
        answers = self._work(posed).answers()
        if asked.questions is None or method == GENERATION:
            found = read_replies(asked, answers)
        else:
            scores = np.array(answers, dtype=np.float64)
            if method == PMI:
                scores = self._less_unconditional(posed, scores)
            found = asked.questions.scored(scores)
        prompts = [digest_json(p.prompt) for p in posed]
        return replace(found, missing=asked.missing).with_details(prompts=prompts)

    def work(self, asked: QuestionSet, method: str) -> Iterator[Work[Any]]:
        if asked.is_written:
            posed = self._posed(asked, method)
            yield self._work(posed)
            if asked.questions is not None and method == PMI:
                yield self._unconditional(posed)

    def replies(self, posed: Sequence[Posed]) -> list[str]:
        """What it writes, as it is: nothing is read from it."""
        return self._work(posed).answers()

    def _posed(self, asked: QuestionSet, method: str) -> list[Posed]:
        if asked.questions is None or method == GENERATION:
            return pose(asked, self.writer.prompt)
        return [
            Posed(c.item.picture or b"", self.writer.prompt(c.text), c.item.options)
            for c in asked.choices
        ]

    def _work(self, posed: Sequence[Posed]) -> Work[Posed]:
        """Of questions with options their likelihoods, of others the replies."""
        of_options = any(p.options for p in posed)
        ask: Callable[[list[Posed]], Sequence[Any]] = (
            self.writer.log_likelihoods if of_options else self.writer.replies
        )
        return Work([p.digest for p in posed], posed, self.known, ask)

    def _unconditional(self, posed: Sequence[Posed]) -> Work[str]:
        options = sorted({option for p in posed for option in p.options})
        keys = [digest_json({"unconditional": option}) for option in options]
        return Work(keys, options, self.known, self.writer.unconditional)

    def _less_unconditional(
        self, posed: Sequence[Posed], scores: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        work = self._unconditional(posed)
        known = dict(zip(work.inputs, work.answers(), strict=True))
        bare = np.array([[known[option] for option in p.options] for p in posed])
        # The tokens are the same in both: log p(option | picture, question) - log p(option).
        return np.asarray((scores - bare[..., 0]) * bare[..., 1])


def _as_it_is(text: str, sees: bool) -> str:
    return text


def pose(asked: QuestionSet, prompt: Callable[[str, bool], str] = _as_it_is) -> list[Posed]:
    """The questions that a model answers in writing; options are shown."""
    if asked.safety is not None:
        prompts = [prompt(own.prompt, False) for own in asked.safety[1]]
        return [Posed(b"", text, new_tokens=asked.reply_tokens) for text in prompts]
    texts: list[tuple[Item, str]] = [(free.item, free.text) for free in asked.free]
    return [
        Posed(item.picture or b"", prompt(text, True), new_tokens=asked.reply_tokens)
        for item, text in texts or [(chat.item, chat.shown) for chat in asked.choices]
    ]


def read_replies(asked: QuestionSet, replies: Sequence[str]) -> Outcomes:
    """The outcomes of what is read from the replies to the questions of `pose`."""
    if asked.safety is not None:
        benchmark, prompts = asked.safety
        return reply_outcomes(benchmark.metric, prompts, replies)
    if asked.questions is None:
        return _free_outcomes(asked, replies)
    return _chosen_outcomes(asked, asked.questions, replies)


def matches(reply: str, references: Sequence[str]) -> bool:
    """Whether a reply is one of the references."""
    said = plain(after_thought(reply) or "")
    return bool(said) and said in {plain(reference) for reference in references}


def _free_outcomes(asked: QuestionSet, replies: Sequence[str]) -> Outcomes:
    items = [free.item for free in asked.free]
    right = np.array(
        [matches(r, item.references) for r, item in zip(replies, items, strict=True)], np.bool_
    )
    gold = tuple(item.references[0] for item in items)
    return Outcomes(
        items=asked.items,
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
        details=details_of(items, [None] * len(items), raw=list(replies)),
    )


def _chosen_outcomes(
    asked: QuestionSet, questions: MultipleChoice, replies: Sequence[str]
) -> Outcomes:
    picks = [chat.chosen(reply) for reply, chat in zip(replies, asked.choices, strict=True)]
    return questions.chosen(picks).with_details(
        raw=replies,
        options=[chat.options for chat in asked.choices],
        readers=[chat.reader for chat in asked.choices],
    )
