"""Models of embeddings under test: the option that is nearest to the picture, and search."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from ggez_hub.evaluation.benchmark_questions import Asked
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.subjects.base import once
from ggez_hub.evaluation.subjects.embedders import Embedder


class BySimilarity:
    """An embedding model; it encodes each picture and each text once."""

    def __init__(self, embedder: Embedder) -> None:
        self._embedder = embedder
        self._pictures: dict[bytes, NDArray[np.float32]] = {}
        self._texts: dict[str, NDArray[np.float32]] = {}

    def answer(self, asked: Asked, method: str) -> Outcomes:
        del method
        if asked.questions is None:
            return asked.nothing
        texts = asked.questions.texts
        seen = once(asked.pictures, self._pictures, self._embedder.encode_pictures)
        read = once(texts, self._texts, self._embedder.encode_texts)
        found = asked.questions.answer(
            np.stack([seen[picture] for picture in asked.pictures]),
            np.stack([read[text] for text in texts]),
        )
        return replace(found, missing=asked.missing)
