"""Models of embeddings under test: the option that is nearest to the picture, and search."""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from ggez_hub.evaluation.answered import Answered, once
from ggez_hub.evaluation.asked import Asked
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.subjects.embedders import Embedder

if TYPE_CHECKING:
    import torch

# They scale all similarities of a model alike: no rank and no choice depends on them.
TEMPERATURE = frozenset({"logit_scale", "logit_bias"})


class BySimilarity:
    """An embedding model; it encodes each picture and each text once."""

    def __init__(self, embedder: Embedder, known: Answered) -> None:
        self._embedder = embedder
        # Apart, since a beta may move one tower alone.
        self._seen = self._read = known

    @property
    def state(self) -> Mapping[str, torch.Tensor]:
        return self._embedder.state

    def moved(self, names: Collection[str], known: Answered) -> None:
        # A tensor of neither tower may be a part of both.
        decisive = set(names) - TEMPERATURE
        if not all(name.startswith(self._embedder.text_tower) for name in decisive):
            self._seen = known
        if not all(name.startswith(self._embedder.picture_tower) for name in decisive):
            self._read = known

    def answer(self, asked: Asked, method: str) -> Outcomes:
        del method
        if asked.questions is None:
            return asked.nothing
        return replace(asked.questions.answer(*self.embed(asked)), missing=asked.missing)

    def embed(self, asked: Asked) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        questions = asked.questions
        assert questions is not None  # noqa: S101 - who asks has looked
        # Two rows of the data may show the same picture.
        pictures = [_digest("picture", picture) for picture in asked.pictures]
        texts = [_digest("text", text.encode()) for text in questions.texts]
        seen = once(
            dict(zip(pictures, asked.pictures, strict=True)),
            self._seen,
            self._embedder.encode_pictures,
        )
        read = once(
            dict(zip(texts, questions.texts, strict=True)), self._read, self._embedder.encode_texts
        )
        return np.stack([seen[key] for key in pictures]), np.stack([read[key] for key in texts])


def _digest(kind: str, content: bytes) -> str:
    return f"{kind} {hashlib.sha256(content).hexdigest()}"
