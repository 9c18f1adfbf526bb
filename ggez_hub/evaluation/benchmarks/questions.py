"""What a model is asked: multiple choice, free answers, and drawings that a judge looks at."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ggez_hub.digests import digest_json
from ggez_hub.errors import UsageProblem
from ggez_hub.evaluation.answers.outcomes import UNPARSED, Details, Outcomes
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark, Drawing
from ggez_hub.evaluation.benchmarks.drawing_task import DrawingTask
from ggez_hub.evaluation.benchmarks.loaders import Choice, DrawingPrompt, Item, OpenQuestion
from ggez_hub.evaluation.benchmarks.recognition_judge import RecognitionJudge
from ggez_hub.evaluation.benchmarks.replies import READER
from ggez_hub.images import to_rgb

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

Rows = NDArray[np.intp]


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
        told = np.array([-1 if pick is None else pick for pick in picks], dtype=np.intp)
        one = (np.arange(self.options.shape[1]) == told[:, None]).astype(np.float64)
        found = replace(self, details=None).scored(one)
        return replace(unread(found, told < 0), details=self.details)

    def take(self, rows: Rows) -> MultipleChoice:
        """Some of the questions, about the same pictures and texts."""
        return replace(
            self,
            items=tuple(self.items[row] for row in rows),
            gold=tuple(self.gold[row] for row in rows),
            queries=self.queries[rows],
            options=self.options[rows],
            right=self.right[rows],
            details=self.details.take(rows) if self.details else None,
        )


def unread(outcomes: Outcomes, rows: NDArray[np.bool_]) -> Outcomes:
    """The outcomes without the answers of some rows (n,): what could not be read is wrong."""
    pairs = zip(outcomes.predicted, rows.tolist(), strict=True)
    return replace(
        outcomes,
        predicted=tuple(UNPARSED if lost else given for given, lost in pairs),
        correct=outcomes.correct & ~rows,
        rank=np.maximum(outcomes.rank, np.where(rows, 2, 1)).astype(np.int32),
    )


class ChatQuestion(NamedTuple):
    """A question of multiple choice for a model that writes.

    said   the text where the likelihood of the options is asked: without them
    shown  the text where it writes its answer: with the options and their letters
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
    """A question with a free answer for a model that writes."""

    said: str
    item: OpenQuestion


class Wanted(NamedTuple):
    """One drawing: the candidate that it should be taken for, the prompt, and the seed."""

    id: str
    prompt: str
    seed: int

    @property
    def item(self) -> str:
        """Its id among the answers."""
        return f"{self.id}/{self.seed}"


@dataclass(frozen=True, eq=False)
class Recognition:
    """The drawings (n) of one task and split; `judge` opens it for drawings of so many pixels.

    Drawings of one prompt stand together: intervals are over prompts, not over pictures.
    """

    task: DrawingTask
    wanted: tuple[Wanted, ...]
    candidates: tuple[str, ...]
    judge: Callable[[int], RecognitionJudge]

    def drawing(self, wanted: Wanted) -> Drawing:
        """How one of them is drawn."""
        how = self.task.drawing
        return Drawing(seeds=[wanted.seed], steps=how.steps, guidance=how.guidance)

    def only(self, rows: Iterable[int]) -> Recognition:
        """Some of the drawings."""
        return replace(self, wanted=tuple(self.wanted[row] for row in rows))

    def similarity(self, files: Sequence[bytes]) -> NDArray[np.float32]:
        """Pictures (n) as files -> (n, k): how much each resembles each candidate."""
        drawings = [to_rgb(file) for file in files]
        return self.judge(drawings[0].width).similarity(drawings)

    def outcomes(self, similarity: NDArray[np.float32], drawn: Sequence[str]) -> Outcomes:
        """The outcomes; `drawn` (n) are the sha256 of the pictures."""
        number = {name: place for place, name in enumerate(self.candidates)}
        own = np.array([number[wanted.id] for wanted in self.wanted])
        options = np.broadcast_to(np.arange(len(self.candidates)), similarity.shape)
        n = len(self.wanted)
        return MultipleChoice(
            items=tuple(wanted.item for wanted in self.wanted),
            gold=tuple(wanted.id for wanted in self.wanted),
            texts=(),
            asked_by="text",
            queries=np.empty(0, np.intp),
            options=options,
            right=options == own[:, None],
            option_ids=self.candidates,
            details=Details.of(
                n,
                # Drawings of one prompt are about one thing, and are drawn together in a bootstrap.
                images=[digest_json(wanted.id) for wanted in self.wanted],
                prompts=[digest_json(wanted.prompt) for wanted in self.wanted],
                raw=drawn,
                languages=[self.task.language] * n,
            ),
        ).scored(similarity)


@dataclass(frozen=True, eq=False)
class QuestionSet:
    """What a model is asked: n questions about N pictures; and what cannot be asked.

    pictures  (N) encoded files: the rows of the pictures' embeddings
    missing   ids of the questions whose picture is missing
    choices   (n) where they are of multiple choice: the text for a model that writes
    free      (n) where answers are free: the text for a model that writes; there are no `questions`
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
    drawn: tuple[Benchmark, tuple[DrawingPrompt, ...]] | None = None
    recognised: Recognition | None = None

    @property
    def items(self) -> tuple[str, ...]:
        """The ids (n) of the questions."""
        if self.drawn is not None:
            return tuple(prompt.id for prompt in self.drawn[1])
        if self.recognised is not None:
            return tuple(wanted.item for wanted in self.recognised.wanted)
        if self.free:
            return tuple(free.item.id for free in self.free)
        return self.questions.items if self.questions else ()

    def take(self, rows: Sequence[int] | Rows) -> QuestionSet:
        """Some of the questions, with only the pictures and texts that they need."""
        if self.drawn is not None:
            benchmark, prompts = self.drawn
            return replace(self, drawn=(benchmark, tuple(prompts[row] for row in rows)))
        if self.recognised is not None:
            return replace(self, recognised=self.recognised.only(rows))
        free = tuple(self.free[row] for row in rows) if self.free else ()
        if self.questions is None:
            return replace(self, free=free, missing=())
        less = self.questions.take(np.asarray(rows, np.intp))
        # The rows of the embeddings that are needed, and their new numbers.
        used, queries = np.unique(less.queries, return_inverse=True)
        candidates, options = np.unique(less.options, return_inverse=True)
        by_text = less.asked_by == "text"
        pictures, texts = (candidates, used) if by_text else (used, candidates)
        return replace(
            self,
            pictures=tuple(self.pictures[row] for row in pictures),
            questions=replace(
                less,
                texts=tuple(less.texts[row] for row in texts),
                queries=queries.reshape(less.queries.shape),
                options=options.reshape(less.options.shape),
                option_ids=tuple(less.option_ids[row] for row in candidates),
            ),
            missing=(),
            choices=tuple(self.choices[row] for row in rows) if self.choices else (),
        )

    def all_missing(self) -> Outcomes:
        """The outcomes where every picture is missing.

        Raises UsageProblem where there are questions that this kind of model cannot be asked.
        """
        if self.drawn is not None:
            raise UsageProblem(
                f"the pictures of {self.drawn[0].id} are to be drawn: this model does not draw",
                "Name a pipeline of diffusers as MODEL, and who judges with --judge.",
            )
        if self.recognised is not None:
            raise UsageProblem("only models that draw can be asked for drawings")
        if self.free:
            raise UsageProblem("only models that write can be asked for free answers")
        none = np.zeros(0)
        return Outcomes(
            (), (), (), none.astype(np.int32), none.astype(np.bool_), none, self.missing
        )


def details_of(items: Sequence[Item], prompts: Sequence[str | None], **more: Any) -> Details:
    """What is recorded of questions about items."""
    return Details.of(
        len(items),
        images=[hashlib.sha256(item.picture or b"").hexdigest() for item in items],
        prompts=prompts,
        countries=[item.country for item in items],
        languages=[item.language for item in items],
        categories=[item.category for item in items],
        **more,
    )


def with_details(outcomes: Outcomes, **columns: Sequence[Any]) -> Outcomes:
    """The outcomes with more recorded beside the answers (n)."""
    details = outcomes.details or Details.of(len(outcomes))
    found: dict[str, Any] = {name: tuple(values) for name, values in columns.items()}
    return replace(outcomes, details=replace(details, **found))


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
