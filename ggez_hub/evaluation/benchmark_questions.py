"""The questions of a benchmark.

choice            a picture; the candidates are its options, for a model of embeddings in the prompt
text_to_image_r1  a caption; the candidates are all pictures of the split
image_to_text_r1  a picture; the candidates are all captions of the split
free_answer       a picture; the answer is what a model writes (see subjects.free)
drawn_choice      a picture that was drawn; a judge chooses among the options
drawn_yes         the same; a judge is asked a number of questions that depend on each other

Options with the same text are one answer: where the right one stands twice, both are right, and
guessing gets more. As everywhere a tie is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ggez_hub.evaluation.asked import Asked, Chat, Free
from ggez_hub.evaluation.benchmark import Benchmark
from ggez_hub.evaluation.items import BadItems
from ggez_hub.evaluation.loaders import Captioned, Choice, Item, Open, Prompted
from ggez_hub.evaluation.option_order import rotation
from ggez_hub.evaluation.outcomes import Details
from ggez_hub.evaluation.questions import OPTIONS, Questions
from ggez_hub.weights import digest_json


def ask_benchmark(benchmark: Benchmark, items: Sequence[Item]) -> Asked:
    """The questions about the items of one side; raises BadItems."""
    if benchmark.drawing is not None:
        prompts = tuple(item for item in items if isinstance(item, Prompted))
        return Asked((), None, (), drawn=(benchmark, prompts))
    return ask_about(benchmark, items)


def ask_about(benchmark: Benchmark, items: Sequence[Item]) -> Asked:
    """The questions about items with pictures, or about those that were drawn; raises BadItems."""
    there = [item for item in items if item.picture is not None]
    missing = tuple(item.id for item in items if item.picture is None)
    rows: dict[bytes, int] = {}
    for item in there:
        rows.setdefault(item.picture or b"", len(rows))
    free = tuple(Free(benchmark.said(o), o) for o in there if isinstance(o, Open))
    asks = METRICS.get(benchmark.metric)
    questions = asks(benchmark, there, rows) if asks and there else None
    choices = tuple(_chat(benchmark, item) for item in there if isinstance(item, Choice))
    return Asked(tuple(rows), questions, missing, choices, free, benchmark.reply_tokens)


def _chat(benchmark: Benchmark, item: Choice) -> Chat:
    """What is said of a question; tasks on the same pictures show its options in the same order."""
    order = rotation(benchmark.seed, benchmark.cut, item.id, len(item.options))
    return Chat(benchmark.said(item), benchmark.shows(item, order), item, order)


def details_of(items: Sequence[Item], prompts: Sequence[str], **more: Any) -> Details:
    """What is recorded of questions about these items."""
    return Details.of(
        len(items),
        images=[hashlib.sha256(item.picture or b"").hexdigest() for item in items],
        prompts=prompts,
        countries=[item.country for item in items],
        languages=[item.language for item in items],
        categories=[item.category for item in items],
        **more,
    )


def _choice(benchmark: Benchmark, items: Sequence[Item], rows: Mapping[bytes, int]) -> Questions:
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
    return Questions(
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


@dataclass(frozen=True, eq=False)
class _Captions:
    """The captions of a split: the different texts, and those of each picture."""

    items: list[Captioned]
    texts: tuple[str, ...]
    ids: tuple[str, ...]
    own: list[list[int]]

    @classmethod
    def of(cls, benchmark: Benchmark, items: Sequence[Item]) -> _Captions:
        captioned = [item for item in items if isinstance(item, Captioned)]
        first: dict[str, str] = {}
        for item in captioned:
            for number, caption in enumerate(item.captions):
                first.setdefault(caption, f"{item.id}#{number}")
        if min(len(captioned), len(first)) < OPTIONS:
            raise BadItems(
                f"task {benchmark.id!r}: {len(captioned)} pictures with {len(first)} different "
                f"captions are on a side, at least {OPTIONS} are needed"
            )
        row = {caption: number for number, caption in enumerate(first)}
        own = [sorted({row[caption] for caption in item.captions}) for item in captioned]
        return cls(captioned, tuple(first), tuple(first.values()), own)


def _text_to_image(
    benchmark: Benchmark, items: Sequence[Item], rows: Mapping[bytes, int]
) -> Questions:
    captions = _Captions.of(benchmark, items)
    picture = [rows[item.picture or b""] for item in captions.items]
    ids: dict[int, str] = {}
    # A caption of two pictures is right for both.
    right_of: dict[int, set[int]] = {}
    for item, row, own in zip(captions.items, picture, captions.own, strict=True):
        ids.setdefault(row, item.id)
        for text in own:
            right_of.setdefault(text, set()).add(row)
    pairs = [(number, text) for number, own in enumerate(captions.own) for text in own]
    everything = np.arange(len(rows))
    right = np.zeros((len(pairs), len(rows)), dtype=np.bool_)
    for question, (_, text) in enumerate(pairs):
        right[question, sorted(right_of[text])] = True
    return Questions(
        items=tuple(f"{captions.items[number].id}/{text}" for number, text in pairs),
        gold=tuple(ids[picture[number]] for number, _ in pairs),
        texts=captions.texts,
        asked_by="text",
        queries=np.array([text for _, text in pairs], dtype=np.intp),
        options=np.broadcast_to(everything, right.shape),
        right=right,
        option_ids=tuple(ids[row] for row in everything.tolist()),
        details=details_of(
            [captions.items[number] for number, _ in pairs],
            [digest_json(captions.texts[text]) for _, text in pairs],
        ),
    )


def _image_to_text(
    benchmark: Benchmark, items: Sequence[Item], rows: Mapping[bytes, int]
) -> Questions:
    captions = _Captions.of(benchmark, items)
    right = np.zeros((len(captions.items), len(captions.texts)), dtype=np.bool_)
    for question, own in enumerate(captions.own):
        right[question, own] = True
    return Questions(
        items=tuple(item.id for item in captions.items),
        gold=tuple(captions.ids[own[0]] for own in captions.own),
        texts=captions.texts,
        asked_by="picture",
        queries=np.array([rows[item.picture or b""] for item in captions.items], dtype=np.intp),
        options=np.broadcast_to(np.arange(len(captions.texts)), right.shape),
        right=right,
        option_ids=captions.ids,
        # Everything is a candidate: one prompt for all.
        details=details_of(captions.items, [digest_json(list(captions.texts))] * len(right)),
    )


METRICS: Mapping[str, Callable[[Benchmark, Sequence[Item], Mapping[bytes, int]], Questions]] = {
    "choice": _choice,
    "text_to_image_r1": _text_to_image,
    "image_to_text_r1": _image_to_text,
    "drawn_choice": _choice,
    "drawn_yes": _choice,
}
