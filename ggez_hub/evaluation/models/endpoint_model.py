"""Models behind an OpenAI-compatible endpoint, under test, as vLLM serves them.

generation   the options are shown with letters, and the option that the reply names is the answer
letter       the option whose letter is the likeliest first token of that reply; where the server
             gives log-probabilities

Both come from one request. What weights answer is not known: the digest is that of the model's name.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from ggez_hub.chat_endpoint import ChatEndpoint, EndpointFailed, about_picture, key_in
from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.benchmark import LETTERS
from ggez_hub.evaluation.benchmarks.questions import (
    GENERATION,
    LETTER,
    QuestionSet,
    in_data_order,
    unread,
)
from ggez_hub.evaluation.models.generative_model import Posed, answered_freely, chosen_by
from ggez_hub.evaluation.models.model_under_test import ModelUnderTest
from ggez_hub.urls import is_http

# As many as the protocol allows.
TOP = 20
# A chunk of questions keeps every connection busy for a while.
ROUNDS = 8
WITHOUT = "The server gives no log-probabilities: choices are read from what the model writes."


def is_address(model: str) -> bool:
    """Whether a model is named by an address, and not by a folder or a repository."""
    return model.startswith(("http://", "https://"))


def served(address: str, key_variable: str | None = None, parallel: int = 8) -> ModelUnderTest:
    """The model at an address, `http://host:port/v1#name`; it is asked whether it is there.

    `key_variable` is the environment variable with the key, `parallel` how many questions are asked
    at once. Raises UsageProblem for an address that is none, and EndpointFailed.
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
        ("letter", "generation") if top else ("generation",),
        searches=False,
        open=lambda known: Served(endpoint, top, known),
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
class Served:
    """A model at an endpoint."""

    endpoint: ChatEndpoint
    top: int
    known: AnswerCache

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        if asked.questions is None and not asked.free:
            return asked.nothing
        free = [(f.item.picture, f.said) for f in asked.free]
        said = free or [(c.item.picture, c.shown) for c in asked.choices]
        posed = [
            Posed(picture or b"", text, new_tokens=asked.reply_tokens) for picture, text in said
        ]
        keys = [p.digest for p in posed]
        found = answer_once(
            dict(zip(keys, posed, strict=True)),
            self.known,
            self._ask,
            chunk=ROUNDS * self.endpoint.parallel,
        )
        answers = [found[key] for key in keys]
        if asked.free:
            prompts = [digest_json(p.prompt) for p in posed]
            return answered_freely(asked, [answer["text"] for answer in answers], prompts)
        outcomes = METHODS[method](asked, answers)
        assert outcomes.details is not None  # noqa: S101 - benchmarks record them
        details = replace(
            outcomes.details,
            prompts=tuple(digest_json(p.prompt) for p in posed),
            raw=tuple(answer["text"] for answer in answers),
            options=tuple(chat.options for chat in asked.choices),
        )
        return replace(outcomes, missing=asked.missing, details=details)

    def _ask(self, posed: Sequence[Posed]) -> list[dict[str, Any]]:
        chats = [about_picture(p.picture, p.prompt) for p in posed]
        answers: dict[int, dict[str, Any]] = {}
        # Questions of one task have replies of one length.
        for number, c in self.endpoint.as_they_come(
            chats, new_tokens=posed[0].new_tokens, top=self.top
        ):
            answers[number] = {"text": c.text, "first": c.first and dict(c.first)}
            # Paid for, perhaps: whoever is killed loses those alone that are on their way.
            self.known.keep({posed[number].digest: answers[number]})
        return [answers[number] for number in range(len(posed))]


def _by_letter(asked: QuestionSet, answers: Sequence[Mapping[str, Any]]) -> Outcomes:
    assert asked.questions is not None  # noqa: S101 - answer() has looked
    scores = np.array(
        [
            in_data_order(_letters(a["first"], len(chat.order)), chat.order)
            for a, chat in zip(answers, asked.choices, strict=True)
        ]
    )
    # No letter among the likeliest tokens: what it would choose is not known.
    return unread(asked.questions.scored(scores), scores.max(axis=1) == -np.inf)


def _letters(first: Mapping[str, float] | None, count: int) -> list[float]:
    """The log-probability of each letter, with or without a space; -inf if not listed."""
    found = [0.0] * count
    for token, value in (first or {}).items():
        letter = token.strip()
        if len(letter) == 1 and letter in LETTERS[: len(found)]:
            found[LETTERS.index(letter)] += math.exp(value)
    return [math.log(p) if p > 0 else -math.inf for p in found]


def _by_generation(asked: QuestionSet, answers: Sequence[Mapping[str, Any]]) -> Outcomes:
    return chosen_by(asked, [answer["text"] for answer in answers])


METHODS = {LETTER: _by_letter, GENERATION: _by_generation}
