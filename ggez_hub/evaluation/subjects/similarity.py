"""Models of embeddings under test: the option that is nearest to the picture, and search."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np

from ggez_hub.evaluation.answered import Answered, once
from ggez_hub.evaluation.benchmark_questions import Asked
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.subjects.embedders import Embedder


class BySimilarity:
    """An embedding model; it encodes each picture and each text once."""

    def __init__(self, embedder: Embedder, known: Answered) -> None:
        self._embedder = embedder
        self._known = known

    def answer(self, asked: Asked, method: str) -> Outcomes:
        del method
        if asked.questions is None:
            return asked.nothing
        pictures = {_digest("picture", picture): picture for picture in asked.pictures}
        texts = {_digest("text", text.encode()): text for text in asked.questions.texts}
        seen = once(pictures, self._known, self._embedder.encode_pictures)
        read = once(texts, self._known, self._embedder.encode_texts)
        found = asked.questions.answer(
            np.stack([seen[key] for key in pictures]), np.stack([read[key] for key in texts])
        )
        return replace(found, missing=asked.missing)


def _digest(kind: str, content: bytes) -> str:
    return f"{kind} {hashlib.sha256(content).hexdigest()}"
