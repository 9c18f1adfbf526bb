"""What is asked and recorded beside the candidates of a question, so that others can tell it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ggez_hub.digests import digest_json
from ggez_hub.evaluation.answers.outcomes import Details
from ggez_hub.evaluation.benchmarks.loaders import Choice, Item
from ggez_hub.evaluation.benchmarks.loaders.rows import Items
from ggez_hub.evaluation.benchmarks.questions import ChatQuestion, MultipleChoice
from ggez_hub.evaluation.benchmarks.task import Task
from ggez_hub.regions import find_region


def details_of(items: Sequence[Item], prompts: Sequence[str], **more: Any) -> Details:
    """What is recorded of questions about items of a benchmark."""
    return Details.of(
        len(items),
        images=[hashlib.sha256(item.picture or b"").hexdigest() for item in items],
        prompts=prompts,
        countries=[item.country for item in items],
        languages=[item.language for item in items],
        categories=[item.category for item in items],
        **more,
    )


def recorded(task: Task, items: Items, questions: MultipleChoice) -> MultipleChoice:
    """The questions with their details: picture, prompt, country, language, category.

    The prompt of a model of embeddings is the text that it is asked to find, or the texts that it
    may choose from; their order is that of the options.
    """
    row_of = {item: row for row, item in enumerate(items.ids)}
    rows = [row_of[item] for item in questions.items]
    hashes = [hashlib.sha256(picture).hexdigest() for picture in items.pictures]
    country = _country(task)
    n = len(rows)
    return replace(
        questions,
        details=Details.of(
            n,
            images=[hashes[row] for row in rows],
            prompts=_prompts(questions),
            countries=[country] * n,
            languages=[task.language] * n,
            categories=[items.groups[row] for row in rows] if items.groups else [None] * n,
        ),
    )


def chats(task: Task, items: Items, questions: MultipleChoice) -> tuple[ChatQuestion, ...]:
    """What is said to a model that writes, of each question; nothing where the task does not say."""
    if task.question is None:
        return ()
    row_of = {item: row for row, item in enumerate(items.ids)}
    found = []
    for item, options, right in zip(
        questions.items, questions.options, questions.right, strict=True
    ):
        picture = items.pictures[row_of[item]]
        choice = Choice(
            id=item,
            image=hashlib.sha256(picture).hexdigest(),
            picture=picture,
            country=_country(task),
            language=task.language,
            category=items.groups[row_of[item]] if items.groups else None,
            question=task.question,
            options=tuple(questions.texts[option] for option in options),
            gold=int(right.argmax()),
        )
        found.append(
            ChatQuestion(task.question, task.question, choice, tuple(range(len(choice.options))))
        )
    return tuple(found)


def _prompts(questions: MultipleChoice) -> list[str]:
    if questions.asked_by == "text":
        return [digest_json(questions.texts[query]) for query in questions.queries]
    k = questions.options.shape[1]
    if k == len(questions.texts):
        # Everything is a candidate: one prompt for all.
        return [digest_json(list(questions.texts))] * len(questions.items)
    return [digest_json([questions.texts[o] for o in options]) for options in questions.options]


def _country(task: Task) -> str | None:
    """The one country whose items these are, if it is one."""
    regions = [find_region(region) for region in task.regions]
    return regions[0].id if len(regions) == 1 and regions[0].is_country else None
