"""Models behind an OpenAI-compatible endpoint, under test, as vLLM serves them.

generation   the options are shown with letters, and the option that the reply names is the answer
letter       the option whose letter is the likeliest first token of that reply; where the server
             gives log-probabilities

Both come from one request. The weights are not known: the digest is that of the model's name.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ggez_hub.chat_endpoint import ChatEndpoint, EndpointFailed, about_picture, key_in
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache, Work
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.benchmark import LETTERS
from ggez_hub.evaluation.benchmarks.multiple_choice import (
    GENERATION,
    LETTER,
    MultipleChoice,
    unread,
)
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.models.generative_model import Posed, pose, read_replies
from ggez_hub.evaluation.models.model_under_test import ModelUnderTest
from ggez_hub.http_address import is_http

# As many as the protocol allows.
TOP = 20
# A chunk of questions keeps every connection busy for a while.
ROUNDS = 8
WITHOUT = "The server gives no log-probabilities: choices are read from what the model writes."


def is_address(model: str) -> bool:
    """Whether a model is named by an address, and not by a folder or a repository."""
    return model.startswith(("http://", "https://"))


def model_at(address: str, key_variable: str | None = None, parallel: int = 8) -> ModelUnderTest:
    """The model at an address, `http://host:port/v1#name`; one question checks that it is there.

    `key_variable` is the environment variable with the key, `parallel` how many questions are asked
    at once. Raises UsageProblem for another kind of address, and EndpointFailed.
    """
    url, _, name = address.partition("#")
    if not (name and is_http(url)) or urlsplit(url).query:
        raise UsageProblem(
            f"{url} names no model", "Write http://HOST:PORT/v1#MODEL, as the server calls it."
        )
    if "@" in urlsplit(url).netloc:
        raise UsageProblem(
            "an address may hold no password", "Name the variable with the key: --key-variable NAME"
        )
    endpoint = ChatEndpoint(url.rstrip("/"), name, parallel, 1, key_in(key_variable))
    top = TOP if _gives_log_probabilities(endpoint) else 0
    return ModelUnderTest(
        digest_json({"served": name}),
        (LETTER, GENERATION) if top else (GENERATION,),
        searches=False,
        open=lambda known: EndpointModel(endpoint, top, known),
        shared=False,
        remark="" if top else WITHOUT,
    )


def _gives_log_probabilities(endpoint: ChatEndpoint) -> bool:
    chat = [{"role": "user", "content": "Answer with the letter A alone."}]
    try:
        (found,) = endpoint.complete([chat], top=TOP)
    except EndpointFailed as problem:
        if problem.status not in {400, 422}:
            raise
        # It may be the log-probabilities that it refuses.
        (found,) = endpoint.complete([chat])
    return found.first is not None


@dataclass(frozen=True)
class EndpointModel:
    """A model at an endpoint."""

    endpoint: ChatEndpoint
    top: int
    known: AnswerCache

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        if not asked.is_written:
            return asked.all_missing()
        posed = pose(asked)
        answers = self._work(posed).answers()
        replies = [answer["text"] for answer in answers]
        if asked.questions is None or method == GENERATION:
            outcomes = read_replies(asked, replies)
        else:
            outcomes = _by_letter(asked, asked.questions, answers).with_details(
                raw=replies,
                options=[chat.options for chat in asked.choices],
            )
        prompts = [digest_json(p.prompt) for p in posed]
        return replace(outcomes, missing=asked.missing).with_details(prompts=prompts)

    def work(self, asked: QuestionSet, method: str) -> Iterator[Work[Any]]:
        del method
        if asked.is_written:
            yield self._work(pose(asked))

    def _work(self, posed: Sequence[Posed]) -> Work[Posed]:
        chunk = ROUNDS * self.endpoint.parallel
        return Work([p.digest for p in posed], posed, self.known, self._ask, chunk)

    def _ask(self, posed: Sequence[Posed]) -> list[dict[str, Any]]:
        chats = [about_picture(p.picture, p.prompt) for p in posed]
        answers: dict[int, dict[str, Any]] = {}
        # Questions of one task have replies of one length.
        for number, c in self.endpoint.as_they_come(
            chats, new_tokens=posed[0].new_tokens, top=self.top
        ):
            answers[number] = {"text": c.text, "first": c.first and dict(c.first)}
            # It may cost money: a run that is killed loses only the answers on their way.
            self.known.keep({posed[number].digest: answers[number]})
        return [answers[number] for number in range(len(posed))]


def _by_letter(
    asked: QuestionSet, questions: MultipleChoice, answers: Sequence[Mapping[str, Any]]
) -> Outcomes:
    scores = np.empty(questions.options.shape)
    for row, (answer, chat) in enumerate(zip(answers, asked.choices, strict=True)):
        # The letters stand for the options as they are shown.
        scores[row, list(chat.order)] = _letters(answer["first"], len(chat.order))
    # No letter among the likeliest tokens: what it would choose is not known.
    return unread(questions.scored(scores), scores.max(axis=1) == -np.inf)


def _letters(first: Mapping[str, float] | None, count: int) -> list[float]:
    """The log-probability of each letter, with or without a space; -inf if not listed."""
    found = dict.fromkeys(LETTERS[:count], 0.0)
    for token, value in (first or {}).items():
        if (letter := token.strip()) in found:
            found[letter] += math.exp(value)
    return [math.log(p) if p > 0 else -math.inf for p in found.values()]
