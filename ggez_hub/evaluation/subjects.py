"""Models under test, by family: how they are opened, and how they answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.benchmark_questions import Asked
from ggez_hub.evaluation.embedders import Embedder, open_embedder
from ggez_hub.evaluation.likelihood import LikelihoodModel
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.families import Family
from ggez_hub.weights import digest_json


class Subject(Protocol):
    """A model under test."""

    def answer(self, asked: Asked) -> Outcomes:
        """What it answers to the questions about the pictures that are there."""


class Way(NamedTuple):
    """How a family's models are asked: `method` names it in the metric of multiple choice.

    `searches`: whether they have embeddings, by which pictures and texts are found.
    """

    method: str
    searches: bool
    open: Callable[[Path, Family], Subject]


def way_of(family: Family) -> Way:
    """How models of a family are asked; raises UsageProblem."""
    if family.name not in WAYS:
        raise UsageProblem(
            f"models of the family {family.name!r} cannot be asked yet",
            f"Families: {', '.join(WAYS)}.",
        )
    return WAYS[family.name]


class BySimilarity:
    """An embedding model; it encodes each picture and each text once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._pictures: dict[bytes, NDArray[np.float32]] = {}
        self._texts: dict[str, NDArray[np.float32]] = {}

    def answer(self, asked: Asked) -> Outcomes:
        if asked.questions is None:
            return asked.nothing
        found = asked.questions.answer(
            _looked_up(asked.pictures, self._pictures, self._embedder.encode_pictures),
            _looked_up(asked.questions.texts, self._texts, self._embedder.encode_texts),
        )
        return replace(found, missing=asked.missing)


class ByLikelihood:
    """A generating model; it is asked a question once, in whatever tasks that stands."""

    def __init__(self, model: LikelihoodModel) -> None:
        self._model = model
        self._known: dict[tuple[bytes, str, tuple[str, ...]], NDArray[np.float64]] = {}

    def answer(self, asked: Asked) -> Outcomes:
        if asked.questions is None:
            return asked.nothing
        prompts = [self._model.prompt(chat) for chat, _ in asked.choices]
        found = [
            self._likelihoods(item.picture or b"", prompt, item.options)
            for prompt, (_, item) in zip(prompts, asked.choices, strict=True)
        ]
        outcomes = asked.questions.scored(np.stack(found))
        assert outcomes.details is not None  # noqa: S101 - benchmarks record them
        details = replace(outcomes.details, prompts=tuple(map(digest_json, prompts)))
        return replace(outcomes, missing=asked.missing, details=details)

    def _likelihoods(
        self, picture: bytes, prompt: str, options: tuple[str, ...]
    ) -> NDArray[np.float64]:
        key = (picture, prompt, options)
        if key not in self._known:
            self._known[key] = self._model.log_likelihoods(picture, prompt, options)
        return self._known[key]


def _looked_up(
    inputs: Sequence[Any], known: dict[Any, Any], encode: Callable[[Sequence[Any]], Any]
) -> NDArray[np.float32]:
    new = [value for value in dict.fromkeys(inputs) if value not in known]
    if new:
        known.update(zip(new, encode(new), strict=True))
    return np.stack([known[value] for value in inputs])


WAYS: Mapping[str, Way] = {
    "embedding": Way(
        "similarity", True, lambda folder, family: BySimilarity(open_embedder(folder, family))
    ),
    "vlm": Way(
        "likelihood", False, lambda folder, family: ByLikelihood(LikelihoodModel(folder, family))
    ),
}
