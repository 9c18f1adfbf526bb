"""The mean of two embedding models' outputs, as one more model under test."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ggez_hub.evaluation.answered import Answered
from ggez_hub.evaluation.asked import Asked
from ggez_hub.evaluation.outcomes import Outcomes
from ggez_hub.evaluation.subjects.base import Embedding, UnderTest
from ggez_hub.weights import digest_json

# The adapter's part of the mean. Answers are recorded at this beta: it is the weight of the adapter's
# outputs, as in a merge it is that of its Delta.
SHARE = 0.5


def averaged(
    base: UnderTest, adapter: UnderTest, known: Callable[[UnderTest], Answered]
) -> UnderTest:
    """The model whose embeddings are the mean of both models' normalised ones, normalised again.

    `known` gives the answers of each that are there already: what a grid has embedded is not embedded
    again. Both have to have embeddings (`searches`).
    """

    def embedding(model: UnderTest) -> Embedding:
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

    def answer(self, asked: Asked, method: str) -> Outcomes:
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
