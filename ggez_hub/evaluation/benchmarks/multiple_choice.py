"""Questions with candidates: answered by scores of the candidates or by naming one, and recorded."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Details, Outcomes
from ggez_hub.evaluation.benchmarks.loaders import Item
from ggez_hub.evaluation.benchmarks.replies import READER

# How a model chooses. Those that write their answer are shown the options.
SIMILARITY, LIKELIHOOD, PMI, GENERATION, LETTER = (
    "similarity",
    "likelihood",
    "pmi",
    "generation",
    "letter",
)
SHOWN = frozenset({GENERATION, LETTER})
# How models that draw are asked where the task itself names the judge.
RECOGNITION = "recognition"
# The similarities of so few options are recorded with an answer.
FEW_OPTIONS = 8

Rows: TypeAlias = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MultipleChoice:
    """n questions with k candidates each; known before any model is. A tie is lost.

    items      (n) ids of the questions
    gold       (n) ids of the right answers
    texts      the different texts of the split: the rows of the text embeddings
    asked_by   which embeddings are the queries; the candidates are the other ones
    queries    (n,) rows of the queries' embeddings
    options    (n, k) rows of the candidates' embeddings
    right      (n, k) bool
    option_ids ids of the rows of the candidates' embeddings
    details    what is recorded of each answer beside the answer, if anything is
    names_gold whether a right answer is recorded as `gold`, whichever of several right candidates it is
    """

    items: tuple[str, ...]
    gold: tuple[str, ...]
    texts: tuple[str, ...]
    asked_by: Literal["text", "picture"]
    queries: Rows
    options: Rows
    right: NDArray[np.bool_]
    option_ids: tuple[str, ...]
    details: Details | None = None
    names_gold: bool = False

    def answer(self, pictures: NDArray[np.float32], texts: NDArray[np.float32]) -> Outcomes:
        """Answer by cosine: `pictures` (N, d) and `texts` (len(self.texts), d), unit rows."""
        queries, candidates = (texts, pictures) if self.asked_by == "text" else (pictures, texts)
        return self.scored(
            np.take_along_axis(queries[self.queries] @ candidates.T, self.options, axis=1)
        )

    def scored(self, similarity: NDArray[np.floating[Any]]) -> Outcomes:
        """Answer by the scores (n, k) of the options: the highest is the answer, a tie is lost."""
        right = np.where(self.right, similarity, -np.inf)
        wrong = np.where(self.right, -np.inf, similarity)
        # `not <` instead of `>=`: an embedding that is NaN loses too.
        rank = 1 + (~self.right & ~(similarity < right.max(axis=1, keepdims=True))).sum(axis=1)
        correct = rank == 1
        best = np.where(correct, right.argmax(axis=1), wrong.argmax(axis=1))
        rows = self.options[np.arange(len(best)), best]
        given = [self.option_ids[row] for row in rows]
        if self.names_gold:
            answers = zip(self.gold, given, correct.tolist(), strict=True)
            given = [gold if right else other for gold, other, right in answers]
        details = self.details
        if details is not None and self.options.shape[1] <= FEW_OPTIONS:
            details = replace(details, log_likelihoods=tuple(map(tuple, similarity.tolist())))
        return Outcomes(
            items=self.items,
            gold=self.gold,
            predicted=tuple(given),
            rank=rank.astype(np.int32),
            correct=correct,
            chance=self.right.mean(axis=1),
            details=details,
        )

    def chosen(self, picks: Sequence[int | None]) -> Outcomes:
        """Answer by the number of an option (n), or None where the answer could not be read."""
        chosen = np.array([-1 if pick is None else pick for pick in picks], dtype=np.intp)
        one = (np.arange(self.options.shape[1]) == chosen[:, None]).astype(np.float64)
        found = replace(self, details=None).scored(one)
        return replace(unread(found, chosen < 0), details=self.details)


def unread(outcomes: Outcomes, rows: NDArray[np.bool_]) -> Outcomes:
    """The outcomes without the answers of some rows (n,): what could not be read is wrong."""
    pairs = zip(outcomes.predicted, rows.tolist(), strict=True)
    return replace(
        outcomes,
        predicted=tuple(UNPARSED if lost else given for given, lost in pairs),
        correct=outcomes.correct & ~rows,
        rank=np.maximum(outcomes.rank, np.where(rows, 2, 1)).astype(np.int32),
    )


def details_of(items: Sequence[Item], prompts: Sequence[str | None], **more: Any) -> Details:
    """What is recorded of questions about items."""
    return Details.of(
        len(items),
        images=[hashlib.sha256(i.picture).hexdigest() if i.picture else None for i in items],
        prompts=prompts,
        countries=[item.country for item in items],
        languages=[item.language for item in items],
        categories=[item.category for item in items],
        **more,
    )


def rotation(seed: int, task: str, item: str, count: int) -> tuple[int, ...]:
    """The numbers of `count` options in the order in which they are shown.

    A hash of seed, task and item decides it: wherever the data put the right answer, every position
    is right equally often but for chance, and a model that prefers a letter gains nothing.
    """
    digest = hashlib.sha256(f"{seed}|{task}|{item}".encode()).digest()
    first = int.from_bytes(digest, "big") % count
    return (*range(first, count), *range(first))


def shown_digest(digest: str, seed: int, method: str) -> str:
    """The digest of a task for a method: with the order of options, and the reader of replies."""
    if method not in SHOWN:
        return digest
    decides: dict[str, object] = {"task": digest, "rotated": seed}
    if method == GENERATION:
        decides["reader"] = READER
    return digest_json(decides)
