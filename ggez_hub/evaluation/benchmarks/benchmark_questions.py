"""The questions of a benchmark.

choice            a picture; the candidates are its options, for a model of embeddings in the prompt
text_to_image_r1  a caption; the candidates are all pictures of the benchmark (see search)
image_to_text_r1  a picture; the candidates are all captions of the benchmark (see search)
free_answer       a picture; the answer is what a model writes
drawn_choice      a picture that was drawn; a judge chooses among the options
drawn_yes         the same; a judge is asked a number of questions that depend on each other
refused, answered, unflagged   a text by itself; see safety

Options with the same text are one answer: where the right one is there twice, both are right, and
guessing gets more. As everywhere a tie is lost.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from ggez_hub.digests import digest_json
from ggez_hub.errors import GgezError
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.loaders import (
    Choice,
    DrawingPrompt,
    Item,
    OpenQuestion,
    SafetyPrompt,
)
from ggez_hub.evaluation.benchmarks.multiple_choice import MultipleChoice, details_of, rotation
from ggez_hub.evaluation.benchmarks.questions import ChatQuestion, FreeQuestion, QuestionSet
from ggez_hub.evaluation.benchmarks.replies import TaggedAnswer
from ggez_hub.evaluation.benchmarks.search import SEARCHES, Gallery


def ask_benchmark(
    benchmark: Benchmark, items: Sequence[Item], everything: Sequence[Item] | None = None
) -> QuestionSet:
    """The questions about the items of one side; raises GgezError.

    A search is among `everything`, which are the items of both sides; without it, among `items`.
    """
    if benchmark.searches:
        return _search(benchmark, items, items if everything is None else everything)
    if benchmark.side == "safety":
        return _safety(benchmark, [item for item in items if isinstance(item, SafetyPrompt)])
    if benchmark.drawing is not None:
        prompts = tuple(item for item in items if isinstance(item, DrawingPrompt))
        return QuestionSet((), None, (), drawn=(benchmark, prompts))
    return ask_about(benchmark, items)


def _safety(benchmark: Benchmark, prompts: Sequence[SafetyPrompt]) -> QuestionSet:
    asked = tuple(prompts)
    if benchmark.drawing is not None:
        asked = tuple(
            replace(prompt, id=f"{prompt.id}/{seed}", seed=seed)
            for prompt in prompts
            for seed in benchmark.drawing.seeds
        )
    return QuestionSet((), None, (), safety=(benchmark, asked), reply_tokens=benchmark.reply_tokens)


def ask_about(benchmark: Benchmark, items: Sequence[Item]) -> QuestionSet:
    """The questions about items with pictures, or about those that were drawn; raises GgezError."""
    there = [item for item in items if item.picture is not None]
    missing = tuple(item.id for item in items if item.picture is None)
    rows: dict[bytes, int] = {}
    for item in there:
        rows.setdefault(item.picture or b"", len(rows))
    free = tuple(
        FreeQuestion(benchmark.chat_text(o), o) for o in there if isinstance(o, OpenQuestion)
    )
    choices = [item for item in there if isinstance(item, Choice)]
    questions = _choice(benchmark, choices, rows) if choices else None
    chats = tuple(_chat(benchmark, item) for item in choices)
    return QuestionSet(tuple(rows), questions, missing, chats, free, benchmark.reply_tokens)


def _chat(benchmark: Benchmark, item: Choice) -> ChatQuestion:
    """The texts of a question; tasks on the same pictures show its options in the same order."""
    count = len(item.options)
    order = tuple(range(count))
    if benchmark.order == "rotated":
        order = rotation(benchmark.seed, benchmark.cut, item.id, count)
    tag = benchmark.answer_tag
    return ChatQuestion(
        benchmark.chat_text(item),
        benchmark.shown_text(item, order),
        item,
        order,
        None if tag is None else TaggedAnswer(tag, benchmark.answer_labels(item, order)),
    )


def _search(benchmark: Benchmark, items: Sequence[Item], everything: Sequence[Item]) -> QuestionSet:
    gallery = Gallery.of(benchmark.id, everything)
    missing = tuple(item.id for item in items if item.picture is None)
    rows = gallery.rows_of(items)
    if not rows:
        return QuestionSet((), None, missing)
    pictures, questions = SEARCHES[benchmark.metric](gallery, rows)
    return QuestionSet(pictures, questions, missing)


def _choice(
    benchmark: Benchmark, choices: Sequence[Choice], rows: Mapping[bytes, int]
) -> MultipleChoice:
    counts = {len(item.options) for item in choices}
    if len(counts) > 1:
        raise GgezError(
            f"task {benchmark.id!r}: its questions have {min(counts)} to {max(counts)} options",
            "Make a task of each number: chance is another in each.",
        )
    # An option is a prompt with its answer: the same prompt may stand for two answers.
    number: dict[tuple[str, str], int] = {}
    options = np.array(
        [
            [number.setdefault(pair, len(number)) for pair in _prompts(benchmark, item)]
            for item in choices
        ],
        dtype=np.intp,
    )
    gold = options[np.arange(len(choices)), [item.gold for item in choices]]
    texts = tuple(prompt for prompt, _ in number)
    return MultipleChoice(
        items=tuple(item.id for item in choices),
        gold=tuple(item.options[item.gold] for item in choices),
        texts=texts,
        asked_by="picture",
        queries=np.array([rows[item.picture or b""] for item in choices], dtype=np.intp),
        options=options,
        right=options == gold[:, None],
        option_ids=tuple(option for _, option in number),
        details=details_of(
            choices, [digest_json([texts[row] for row in row_of]) for row_of in options]
        ),
    )


def _prompts(benchmark: Benchmark, item: Choice) -> list[tuple[str, str]]:
    """Each option in the prompt, with itself; braces in a question stay."""
    before, _, after = benchmark.prompt(item.language).partition("{option}")
    before, after = (part.replace("{question}", item.question) for part in (before, after))
    return [(f"{before}{option}{after}", option) for option in item.options]
