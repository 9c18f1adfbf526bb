"""What a task asks of a split, and how an answer is read from embeddings.

text_to_image_r1   a name; the candidates are all pictures of the split
image_to_text_r1   a picture; the candidates are all different names
choice_4           a picture; its name and three others of the same group

Two pictures of one name are both right answers to it. A tie is lost: a model that maps everything
to one point scores 0, not 100.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Details, Outcomes
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.loaders import Choice, Open, Prompted
from ggez_hub.evaluation.benchmarks.loaders.rows import BadItems, Items
from ggez_hub.evaluation.benchmarks.replies import READER
from ggez_hub.evaluation.benchmarks.task import Metric, Task

if TYPE_CHECKING:
    from ggez_hub.evaluation.benchmarks.preparation import Recognition


OPTIONS = 4
# The similarities of so few options are recorded with an answer.
FEW_OPTIONS = 8

Rows = NDArray[np.intp]


@dataclass(frozen=True, eq=False)
class MultipleChoice:
    """n questions with k candidates each; known before any model is.

    items      (n) ids of the pictures asked about
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
        return Outcomes(
            items=self.items,
            gold=self.gold,
            predicted=tuple(given),
            rank=rank.astype(np.int32),
            correct=correct,
            chance=self.right.mean(axis=1),
            details=self._details(similarity),
        )

    def chosen(self, picks: Sequence[int | None]) -> Outcomes:
        """Answer by the number of an option (n), or None where the answer could not be read."""
        told = np.array([-1 if pick is None else pick for pick in picks], dtype=np.intp)
        k = self.options.shape[1]
        one = (np.arange(k) == told[:, None]).astype(np.float64)
        found = replace(self, details=None).scored(one)
        return replace(unread(found, told < 0), details=self.details)

    def _details(self, similarity: NDArray[np.floating[Any]]) -> Details | None:
        """What is recorded, with the similarities of the options where they are few."""
        if self.details is None or self.options.shape[1] > FEW_OPTIONS:
            return self.details
        return replace(self.details, log_likelihoods=tuple(map(tuple, similarity.tolist())))


def unread(outcomes: Outcomes, rows: NDArray[np.bool_]) -> Outcomes:
    """The outcomes without the answers of some rows (n,): what could not be read is wrong."""
    pairs = zip(outcomes.predicted, rows.tolist(), strict=True)
    return replace(
        outcomes,
        predicted=tuple(UNPARSED if lost else given for given, lost in pairs),
        correct=outcomes.correct & ~rows,
        rank=np.maximum(outcomes.rank, np.where(rows, 2, 1)).astype(np.int32),
    )


@dataclass(frozen=True, eq=False)
class _Named:
    """The items with their different texts numbered in order of appearance; -1 where there is none."""

    items: Items
    texts: tuple[str, ...]
    text_of: Rows
    text_ids: tuple[str, ...]

    @property
    def asked(self) -> Rows:
        """Rows of the pictures that have a text."""
        return np.flatnonzero(self.text_of >= 0)


class _Metric(Protocol):
    def __call__(self, named: _Named, seed: int) -> MultipleChoice:
        """The questions about the named items."""


def ask(task: Task, items: Items) -> MultipleChoice:
    """The questions of a task; raises BadItems if the items cannot be asked for."""
    first: dict[str, int] = {}
    for row, text in enumerate(items.texts):
        if text is not None:
            first.setdefault(text, row)
    number = {text: position for position, text in enumerate(first)}
    named = _Named(
        items=items,
        texts=tuple(first),
        text_of=np.array([-1 if t is None else number[t] for t in items.texts], dtype=np.intp),
        text_ids=tuple(items.ids[row] for row in first.values()),
    )
    if len(named.texts) < OPTIONS:
        raise BadItems(
            f"task {task.id!r}: column {task.columns.text!r} has {len(named.texts)} different "
            f"texts, at least {OPTIONS} are needed"
        )
    return _METRICS[task.metric](named, task.seed)


def _text_to_image(named: _Named, seed: int) -> MultipleChoice:
    asked, ids = named.asked, named.items.ids
    options = np.broadcast_to(np.arange(len(ids)), (len(asked), len(ids)))
    own = tuple(ids[row] for row in asked)
    return MultipleChoice(
        items=own,
        gold=own,
        texts=named.texts,
        asked_by="text",
        queries=named.text_of[asked],
        options=options,
        right=named.text_of[asked, None] == named.text_of[None, :],
        option_ids=ids,
    )


def _about_pictures(named: _Named, options: Rows) -> MultipleChoice:
    asked = named.asked
    return MultipleChoice(
        items=tuple(named.items.ids[row] for row in asked),
        gold=tuple(named.text_ids[text] for text in named.text_of[asked]),
        texts=named.texts,
        asked_by="picture",
        queries=asked,
        options=options,
        right=options == named.text_of[asked, None],
        option_ids=named.text_ids,
    )


def _image_to_text(named: _Named, seed: int) -> MultipleChoice:
    everything = np.arange(len(named.texts))
    return _about_pictures(named, np.broadcast_to(everything, (len(named.asked), len(everything))))


def _choice(named: _Named, seed: int) -> MultipleChoice:
    groups = named.items.groups
    assert groups is not None  # noqa: S101 - a task of choice_4 names the column
    members: dict[str, set[int]] = {}
    for row in named.asked:
        members.setdefault(groups[row], set()).add(int(named.text_of[row]))
    options = []
    for row in named.asked:
        own = int(named.text_of[row])
        wrong = _draw(named, members[groups[row]] - {own}, named.items.ids[row], seed)
        if len(wrong) < OPTIONS - 1:
            # A group of fewer than four names: the rest comes from the others.
            rest = set(range(len(named.texts))) - {own, *wrong}
            wrong += _draw(named, rest, named.items.ids[row], seed)
        options.append([own, *wrong[: OPTIONS - 1]])
    return _about_pictures(named, np.array(options, dtype=np.intp))


def _draw(named: _Named, candidates: set[int], item: str, seed: int) -> list[int]:
    """At most three of the candidates, by a hash: the same for any order of rows and any library."""

    def order(text: int) -> bytes:
        return hashlib.sha256(f"{seed}\0{item}\0{named.texts[text]}".encode()).digest()

    return sorted(candidates, key=order)[: OPTIONS - 1]


_METRICS: Mapping[Metric, _Metric] = {
    "text_to_image_r1": _text_to_image,
    "image_to_text_r1": _image_to_text,
    "choice_4": _choice,
}


class ChatQuestion(NamedTuple):
    """A question of multiple choice, as it is said to a model that writes.

    said   where the likelihood of the options is asked: without them
    shown  where it writes its answer: with the options and their letters
    order  the numbers of the options in the order in which they are shown
    """

    said: str
    shown: str
    item: Choice
    order: tuple[int, ...]

    @property
    def options(self) -> tuple[str, ...]:
        """The options as they are shown."""
        return tuple(self.item.options[number] for number in self.order)


class FreeQuestion(NamedTuple):
    """A question with a free answer, as it is said to a model that writes."""

    said: str
    item: Open


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """What a model is asked: n questions about N pictures; and what cannot be asked.

    pictures  (N) encoded files: the rows of the pictures' embeddings
    missing   ids of the questions whose picture is gone
    choices   (n) where they are of multiple choice: what is said to a model that writes
    free      where answers are free: what is said to a model that writes; there are no `questions`
    reply_tokens  how long a written answer may be
    drawn     the benchmark whose prompts are to be drawn first, and the prompts: then there are no
              pictures, and a judge is asked the questions about those that are drawn
    recognised  the drawings that are asked for, and a judge who names what each resembles
    """

    pictures: tuple[bytes, ...]
    questions: MultipleChoice | None
    missing: tuple[str, ...]
    choices: tuple[ChatQuestion, ...] = ()
    free: tuple[FreeQuestion, ...] = ()
    reply_tokens: int = 0
    drawn: tuple[Benchmark, tuple[Prompted, ...]] | None = None
    recognised: Recognition | None = None

    @property
    def nothing(self) -> Outcomes:
        """The outcomes where every picture is gone; raises UsageProblem where none is drawn yet."""
        if self.drawn is not None:
            raise UsageProblem(
                f"the pictures of {self.drawn[0].id} are to be drawn: this model does not draw",
                "Name a pipeline of diffusers as MODEL, and who judges with --judge.",
            )
        if self.recognised is not None:
            raise UsageProblem("drawings are asked of models that draw alone")
        if self.free:
            raise UsageProblem("free answers are asked of models that write alone")
        none = np.zeros(0)
        return Outcomes(
            (), (), (), none.astype(np.int32), none.astype(np.bool_), none, self.missing
        )


# How models choose that are shown the options, and not asked for the likelihood of each.
GENERATION, LETTER = "generation", "letter"
SHOWN = frozenset({GENERATION, LETTER})


def rotation(seed: int, task: str, item: str, count: int) -> tuple[int, ...]:
    """The numbers of `count` options in the order in which they are shown."""
    digest = hashlib.sha256(f"{seed}|{task}|{item}".encode()).digest()
    first = int.from_bytes(digest, "big") % count
    return (*range(first, count), *range(first))


def shown_digest(digest: str, seed: int, method: str) -> str:
    """The digest of a task as a method asks it: with the order of options, and how replies are read."""
    if method not in SHOWN:
        return digest
    decides: dict[str, object] = {"task": digest, "rotated": seed}
    if method == GENERATION:
        decides["reader"] = READER
    return digest_json(decides)


def in_data_order(values: Sequence[float], order: Sequence[int]) -> list[float]:
    """Values of options as shown, in the order of the data."""
    found = [0.0] * len(order)
    for value, number in zip(values, order, strict=True):
        found[number] = value
    return found
