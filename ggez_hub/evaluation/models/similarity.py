"""Models of embeddings under test: the option that is nearest to the picture, and search."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.cache import AnswerCache, Work
from ggez_hub.evaluation.answers.outcomes import Outcomes
from ggez_hub.evaluation.benchmarks.multiple_choice import SIMILARITY
from ggez_hub.evaluation.benchmarks.questions import QuestionSet
from ggez_hub.evaluation.models.backend import EvaluationBackend
from ggez_hub.evaluation.models.embedding_model import Embedder, open_embedder
from ggez_hub.evaluation.models.model_under_test import ModelUnderTest

if TYPE_CHECKING:
    import torch

Embeddings: TypeAlias = tuple[NDArray[np.float32], NDArray[np.float32]]
T = TypeVar("T", bytes, str)

# They scale all similarities of a model alike: no rank and no choice depends on them.
TEMPERATURE = frozenset({"logit_scale", "logit_bias"})


class _ByEmbeddings(ABC):
    """Answers by embeddings: the option that is nearest to the picture."""

    @abstractmethod
    def embed(self, asked: QuestionSet) -> Embeddings:
        """The pictures (N, d) and the texts (len(questions.texts), d), unit rows."""

    def answer(self, asked: QuestionSet, method: str) -> Outcomes:
        del method
        if asked.questions is None:
            return asked.all_missing()
        return replace(asked.questions.answer(*self.embed(asked)), missing=asked.missing)


class SimilarityModel(_ByEmbeddings):
    """An embedding model; it encodes each picture and each text once."""

    def __init__(self, embedder: Embedder, known: AnswerCache) -> None:
        self._embedder = embedder
        # Apart, since a beta may change one tower alone.
        self._known_pictures = self._known_texts = known

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        return self._embedder.state

    def weights_changed(self, names: Collection[str], known: AnswerCache) -> None:
        # A tensor of neither tower may be a part of both.
        decisive = set(names) - TEMPERATURE
        if not all(name.startswith(self._embedder.text_tower) for name in decisive):
            self._known_pictures = known
        if not all(name.startswith(self._embedder.picture_tower) for name in decisive):
            self._known_texts = known

    def work(self, asked: QuestionSet, method: str) -> Iterator[Work[Any]]:
        del method
        if asked.questions is not None:
            embedder = self._embedder
            yield _work("picture", asked.pictures, self._known_pictures, embedder.encode_pictures)
            yield _work("text", asked.questions.texts, self._known_texts, embedder.encode_texts)

    def embed(self, asked: QuestionSet) -> Embeddings:
        pictures, texts = (np.stack(work.answers()) for work in self.work(asked, ""))
        return pictures, texts


def _work(
    kind: str,
    inputs: Sequence[T],
    known: AnswerCache,
    encode: Callable[[list[T]], NDArray[np.float32]],
) -> Work[T]:
    """Inputs to embed; two rows of the data may show the same picture."""
    contents = [value.encode() if isinstance(value, str) else value for value in inputs]
    keys = [f"{kind} {hashlib.sha256(content).hexdigest()}" for content in contents]
    return Work(keys, inputs, known, encode)


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

    def embedding(model: ModelUnderTest) -> _ByEmbeddings:
        # What searches has embeddings.
        return cast(_ByEmbeddings, model.open(known(model)))

    return replace(
        base,
        digest=digest_json({"average": [base.digest, adapter.digest]}),
        open=lambda _: _Averaged((partial(embedding, base), partial(embedding, adapter))),
        beta=SHARE,
    )


@dataclass(frozen=True)
class _Averaged(_ByEmbeddings):
    """Opened one after the other: the two may be one model in memory, whose weights are swapped."""

    opens: tuple[Callable[[], _ByEmbeddings], ...]

    def embed(self, asked: QuestionSet) -> Embeddings:
        first, second = (open_().embed(asked) for open_ in self.opens)
        return _mean(first[0], second[0]), _mean(first[1], second[1])


def _mean(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    mean = (1 - SHARE) * first.astype(np.float64) + SHARE * second
    return (mean / np.linalg.norm(mean, axis=1, keepdims=True)).astype(np.float32)


BACKEND = EvaluationBackend(
    (SIMILARITY,),
    searches=True,
    open=lambda folder, family, adapted, known: SimilarityModel(
        open_embedder(folder, family, adapted), known
    ),
)
