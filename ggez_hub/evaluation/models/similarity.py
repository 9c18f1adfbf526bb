"""Models of embeddings under test: the option that is nearest to the picture, and search."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.cache import AnswerCache, answer_once
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.models.embedding_model import Embedder
from ggez_hub.evaluation.models.model_under_test import Embedding, ModelUnderTest

if TYPE_CHECKING:
    import torch


# They scale all similarities of a model alike: no rank and no choice depends on them.
TEMPERATURE = frozenset({"logit_scale", "logit_bias"})


class BySimilarity:
    """An embedding model; it encodes each picture and each text once."""

    def __init__(self, embedder: Embedder, known: AnswerCache) -> None:
        self._embedder = embedder
        # Apart, since a beta may move one tower alone.
        self._seen = self._read = known

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        return self._embedder.state

    def moved(self, names: Collection[str], known: AnswerCache) -> None:
        # A tensor of neither tower may be a part of both.
        decisive = set(names) - TEMPERATURE
        if not all(name.startswith(self._embedder.text_tower) for name in decisive):
            self._seen = known
        if not all(name.startswith(self._embedder.picture_tower) for name in decisive):
            self._read = known

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        del method
        if asked.questions is None:
            return asked.nothing
        return replace(asked.questions.answer(*self.embed(asked)), missing=asked.missing)

    def embed(self, asked: QuestionSet) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        questions = asked.questions
        assert questions is not None  # noqa: S101 - who asks has looked
        # Two rows of the data may show the same picture.
        pictures = [_digest("picture", picture) for picture in asked.pictures]
        texts = [_digest("text", text.encode()) for text in questions.texts]
        seen = answer_once(
            dict(zip(pictures, asked.pictures, strict=True)),
            self._seen,
            self._embedder.encode_pictures,
        )
        read = answer_once(
            dict(zip(texts, questions.texts, strict=True)), self._read, self._embedder.encode_texts
        )
        return np.stack([seen[key] for key in pictures]), np.stack([read[key] for key in texts])


def _digest(kind: str, content: bytes) -> str:
    return f"{kind} {hashlib.sha256(content).hexdigest()}"


# The adapter's part of the mean. Answers are recorded at this beta: it is the weight of the adapter's
# outputs, as in a merge it is that of its Delta.
SHARE = 0.5


def averaged(
    base: ModelUnderTest, adapter: ModelUnderTest, known: Callable[[ModelUnderTest], AnswerCache]
) -> ModelUnderTest:
    """The model whose embeddings are the mean of both models' normalised ones, normalised again.

    `known` gives the answers of each that are there already: what a grid has embedded is not embedded
    again. Both have to have embeddings (`searches`).
    """

    def embedding(model: ModelUnderTest) -> Embedding:
        # What searches has embeddings.
        return cast(Embedding, model.open(known(model)))

    return replace(
        base,
        digest=digest_json({"average": [base.digest, adapter.digest]}),
        open=lambda _: _Averaged((partial(embedding, base), partial(embedding, adapter))),
        beta=SHARE,
    )


@dataclass(frozen=True)
class _Averaged:
    """Opened one after the other: the two may be one model in memory, which is moved."""

    opens: tuple[Callable[[], Embedding], ...]

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        del method
        if asked.questions is None:
            return asked.nothing
        (seen, read), (seen_too, read_too) = (open_().embed(asked) for open_ in self.opens)
        found = asked.questions.answer(_mean(seen, seen_too), _mean(read, read_too))
        return replace(found, missing=asked.missing)


def _mean(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    """The mean of rows of length 1, with rows of length 1."""
    mean = (1 - SHARE) * first.astype(np.float64) + SHARE * second
    return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)
