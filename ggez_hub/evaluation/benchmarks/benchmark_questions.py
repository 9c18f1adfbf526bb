"""The questions of a benchmark.

choice            a picture; the candidates are its options, for a model of embeddings in the prompt
text_to_image_r1  a caption; the candidates are all pictures of the benchmark (see gallery)
image_to_text_r1  a picture; the candidates are all captions of the benchmark (see gallery)
free_answer       a picture; the answer is what a model writes (see subjects.free)
drawn_choice      a picture that was drawn; a judge chooses among the options
drawn_yes         the same; a judge is asked a number of questions that depend on each other

Options with the same text are one answer: where the right one stands twice, both are right, and
guessing gets more. As everywhere a tie is lost.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.benchmarks.benchmark import Benchmark
from ggez_hub.evaluation.benchmarks.loaders import Captioned, Choice, Item, Open, Prompted
from ggez_hub.evaluation.benchmarks.loaders.rows import BadItems
from ggez_hub.evaluation.benchmarks.questions import (
    OPTIONS,
    ChatQuestion,
    FreeQuestion,
    MultipleChoice,
    QuestionSet,
    rotation,
)
from ggez_hub.evaluation.benchmarks.task_questions import details_of


@dataclass(frozen=True, eq=False)
class Gallery:
    """N different pictures and M different captions.

    items     (N) of each picture the first item that shows it
    texts     (M) the captions; those of pictures that are gone are among them
    text_ids  (M)
    own       (N) of each picture the rows of its captions
    """

    items: tuple[Captioned, ...]
    texts: tuple[str, ...]
    text_ids: tuple[str, ...]
    own: tuple[tuple[int, ...], ...]

    @classmethod
    def of(cls, task: str, items: Sequence[Item]) -> Gallery:
        """The gallery of all items of a task; raises BadItems where there is nothing to search."""
        captioned = [item for item in items if isinstance(item, Captioned)]
        text_ids: dict[str, str] = {}
        for item in captioned:
            for number, caption in enumerate(item.captions):
                text_ids.setdefault(caption, f"{item.id}#{number}")
        row = {caption: number for number, caption in enumerate(text_ids)}
        first: dict[bytes, Captioned] = {}
        own: dict[bytes, dict[int, None]] = {}
        for item in captioned:
            if item.picture is not None:
                first.setdefault(item.picture, item)
                captions = own.setdefault(item.picture, {})
                captions.update(dict.fromkeys(row[caption] for caption in item.captions))
        if min(len(first), len(text_ids)) < OPTIONS:
            raise BadItems(
                f"task {task!r}: {len(first)} pictures with {len(text_ids)} different captions "
                f"are there, at least {OPTIONS} are needed"
            )
        return cls(
            tuple(first.values()),
            tuple(text_ids),
            tuple(text_ids.values()),
            tuple(tuple(rows) for rows in own.values()),
        )

    @property
    def pictures(self) -> tuple[bytes, ...]:
        """The pictures (N), as encoded files."""
        return tuple(item.picture or b"" for item in self.items)

    def rows_of(self, items: Sequence[Item]) -> list[int]:
        """The rows of the pictures that these items show, each once."""
        row = {picture: number for number, picture in enumerate(self.pictures)}
        return list(dict.fromkeys(row[item.picture] for item in items if item.picture is not None))


def _text_to_image(
    gallery: Gallery, rows: Sequence[int]
) -> tuple[tuple[bytes, ...], MultipleChoice]:
    """Every caption of the pictures in these rows, looked for among all pictures."""
    right_of: dict[int, list[int]] = {}
    for row, own in enumerate(gallery.own):
        for text in own:
            right_of.setdefault(text, []).append(row)
    asked = [(row, place) for row in rows for place in range(len(gallery.own[row]))]
    queries = [gallery.own[row][place] for row, place in asked]
    right = np.zeros((len(asked), len(gallery.items)), dtype=np.bool_)
    for question, text in enumerate(queries):
        right[question, right_of[text]] = True
    used = {text: number for number, text in enumerate(dict.fromkeys(queries))}
    texts = tuple(gallery.texts[text] for text in used)
    ids = tuple(item.id for item in gallery.items)
    return gallery.pictures, MultipleChoice(
        items=tuple(f"{ids[row]}#{place}" for row, place in asked),
        gold=tuple(ids[row] for row, _ in asked),
        texts=texts,
        asked_by="text",
        queries=np.array([used[text] for text in queries], dtype=np.intp),
        options=np.broadcast_to(np.arange(len(ids)), right.shape),
        right=right,
        option_ids=ids,
        names_gold=True,
        details=details_of(
            [gallery.items[row] for row, _ in asked],
            [digest_json(gallery.texts[text]) for text in queries],
        ),
    )


def _image_to_text(
    gallery: Gallery, rows: Sequence[int]
) -> tuple[tuple[bytes, ...], MultipleChoice]:
    """The pictures in these rows, whose captions are looked for among all captions."""
    right = np.zeros((len(rows), len(gallery.texts)), dtype=np.bool_)
    for question, row in enumerate(rows):
        right[question, list(gallery.own[row])] = True
    items = [gallery.items[row] for row in rows]
    return tuple(item.picture or b"" for item in items), MultipleChoice(
        items=tuple(item.id for item in items),
        gold=tuple(gallery.text_ids[gallery.own[row][0]] for row in rows),
        texts=gallery.texts,
        asked_by="picture",
        queries=np.arange(len(rows)),
        options=np.broadcast_to(np.arange(len(gallery.texts)), right.shape),
        right=right,
        option_ids=gallery.text_ids,
        names_gold=True,
        # Everything is a candidate: one prompt for all.
        details=details_of(items, [digest_json(list(gallery.texts))] * len(rows)),
    )


SEARCHES: Mapping[
    str, Callable[[Gallery, Sequence[int]], tuple[tuple[bytes, ...], MultipleChoice]]
] = {
    "text_to_image_r1": _text_to_image,
    "image_to_text_r1": _image_to_text,
}


def ask_benchmark(
    benchmark: Benchmark, items: Sequence[Item], everything: Sequence[Item] | None = None
) -> QuestionSet:
    """The questions about the items of one side; raises BadItems.

    A search is among `everything`, which are the items of both sides; without it, among `items`.
    """
    if benchmark.searches:
        return _search(benchmark, items, items if everything is None else everything)
    if benchmark.drawing is not None:
        prompts = tuple(item for item in items if isinstance(item, Prompted))
        return QuestionSet((), None, (), drawn=(benchmark, prompts))
    return ask_about(benchmark, items)


def ask_about(benchmark: Benchmark, items: Sequence[Item]) -> QuestionSet:
    """The questions about items with pictures, or about those that were drawn; raises BadItems."""
    there = [item for item in items if item.picture is not None]
    missing = tuple(item.id for item in items if item.picture is None)
    rows: dict[bytes, int] = {}
    for item in there:
        rows.setdefault(item.picture or b"", len(rows))
    free = tuple(FreeQuestion(benchmark.said(o), o) for o in there if isinstance(o, Open))
    asks = METRICS.get(benchmark.metric)
    questions = asks(benchmark, there, rows) if asks and there else None
    choices = tuple(_chat(benchmark, item) for item in there if isinstance(item, Choice))
    return QuestionSet(tuple(rows), questions, missing, choices, free, benchmark.reply_tokens)


def _chat(benchmark: Benchmark, item: Choice) -> ChatQuestion:
    """What is said of a question; tasks on the same pictures show its options in the same order."""
    order = rotation(benchmark.seed, benchmark.cut, item.id, len(item.options))
    return ChatQuestion(benchmark.said(item), benchmark.shows(item, order), item, order)


def _search(benchmark: Benchmark, items: Sequence[Item], everything: Sequence[Item]) -> QuestionSet:
    gallery = Gallery.of(benchmark.id, everything)
    missing = tuple(item.id for item in items if item.picture is None)
    rows = gallery.rows_of(items)
    if not rows:
        return QuestionSet((), None, missing)
    pictures, questions = SEARCHES[benchmark.metric](gallery, rows)
    return QuestionSet(pictures, questions, missing)


def _choice(
    benchmark: Benchmark, items: Sequence[Item], rows: Mapping[bytes, int]
) -> MultipleChoice:
    choices = [item for item in items if isinstance(item, Choice)]
    counts = {len(item.options) for item in choices}
    if len(counts) > 1:
        raise BadItems(
            f"task {benchmark.id!r}: its questions have {min(counts)} to {max(counts)} options",
            "Make a task of each number: chance is another in each.",
        )
    # An option is a prompt and what it says: the same prompt may stand for two answers.
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
    """Each option in the prompt, with itself; braces in a question are the question's."""
    before, _, after = benchmark.prompt(item.language).partition("{option}")
    before, after = (part.replace("{question}", item.question) for part in (before, after))
    return [(f"{before}{option}{after}", option) for option in item.options]


METRICS: Mapping[
    str, Callable[[Benchmark, Sequence[Item], Mapping[bytes, int]], MultipleChoice]
] = {
    "choice": _choice,
    "drawn_choice": _choice,
    "drawn_yes": _choice,
}
